"""The plugin of the soaks' own program: two stages that leave a table, a directory, a file and adopted drives in no time, without torch."""

from __future__ import annotations

import json
import os

import pyarrow as pa

import tracecore as tc

ROWS = pa.schema([pa.field("drive", pa.string(), nullable=False), pa.field("frame_id", pa.string(), nullable=False), pa.field("value", pa.int64())])


def _obey(stage: str) -> None:
    """Let a soak kill or watch the worker that this runs in."""
    if os.environ.get("SOAK_WORKER"):
        from worker_orders import obey

        obey(stage)


_obey("import")


class TwoGather(tc.Stage):
    """Take every number of a text file as a frame."""

    kind = tc.StageKind.INGEST
    drives = tc.Files("paths", suffixes=[".txt"], note="drive file")
    frames = tc.Output("dataset", checks=["two_positive"])

    class Params(tc.Params):
        paths: tuple[str, ...] = ()
        salt: int = tc.Field(0, description="changes the staleness key and nothing else")

    def run(self, context: tc.Context, params: tc.Params) -> None:  # noqa: ARG002  # the salt changes nothing
        _obey("two-gather")
        rows = []
        for source in context.files(self.drives):
            drive = source.path.stem
            path = context.adopt(source, kind="drive_log", name=drive)
            numbers = path.read_text(encoding="utf-8").split()
            rows += [{"drive": drive, "frame_id": f"{drive}-{line}", "value": int(number)} for line, number in enumerate(numbers)]
        context.write(self.frames, pa.Table.from_pylist(rows, schema=ROWS))


class TwoSum(tc.Stage):
    """Add the numbers up: a directory of two files, and a card that is one file."""

    kind = tc.StageKind.TRAIN
    frames = tc.Input("dataset")
    model = tc.Output("model", checks=["two_whole"])
    card = tc.Output("kpi_report", file="card.json")

    class Params(tc.Params):
        salt: int = tc.Field(0, description="changes the staleness key and nothing else")

    def run(self, context: tc.Context, params: tc.Params) -> None:  # noqa: ARG002  # the salt changes nothing
        _obey("two-sum")
        values = context.read(self.frames).to_table()["value"].to_pylist()
        folder = context.path(self.model)
        (folder / "deep").mkdir()
        (folder / "deep" / "weights.bin").write_bytes(bytes(value % 256 for value in values) * 64)
        (folder / "config.json").write_text(json.dumps({"total": sum(values)}), encoding="utf-8")
        kpis = {"total": float(sum(values))}
        (context.path(self.card) / "card.json").write_text(json.dumps(kpis), encoding="utf-8")
        facet = {"summary": tc.count(len(kpis), "figure"), "values": kpis, "baseline": {}, "executed_with": "two-sum"}
        context.describe(self.card, "tracecore_kpis", facet)


class Positive(tc.Check):
    """Nothing negative was read."""

    name = "two_positive"
    description = "Every value is positive."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        worst = min(context.read().to_table()["value"].to_pylist(), default=0)
        return tc.CheckResult(worst >= 0, f"the least value is {worst}")


class Whole(tc.Check):
    """Both files of the model are there."""

    name = "two_whole"
    description = "The model has its two files."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        found = sorted(path.name for path in context.read().rglob("*") if path.is_file())
        return tc.CheckResult(found == ["config.json", "weights.bin"], f"found {', '.join(found)}")


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the two stages."""
    return [TwoGather, TwoSum]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the checks of their outputs."""
    return [Positive(), Whole()]
