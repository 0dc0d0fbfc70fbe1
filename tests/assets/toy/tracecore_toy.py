"""A whole perception loop in a few lines: stages, a check and a gate that run in no time, on real stores and records."""

import json
import time

import pyarrow as pa
import pyarrow.compute as pc

import tracecore as tc
from tracecore_schemas.kinds import Severity

ROWS = pa.schema([pa.field("drive", pa.string(), nullable=False), pa.field("frame_id", pa.string(), nullable=False), pa.field("value", pa.int64())])


class ToyIngest(tc.Stage):
    """Take every line of a text file as a frame."""

    kind = tc.StageKind.INGEST
    files = tc.Files("paths", suffixes=[".txt"], note="drive file")
    frames = tc.Output("dataset", checks=["toy_positive"])
    count = tc.Output("dataset")

    class Params(tc.Params):
        paths: tuple[str, ...] = ()
        scale: int = tc.Field(1, ge=1)

    def run(self, context, params):
        rows = []
        for source in context.files(self.files):
            drive = source.path.stem
            path = context.adopt(source, kind="drive_log", name=drive)
            for line, text in enumerate(path.read_text().split()):
                if text == "bad":
                    raise tc.UsageError(f"The drive file {source.name} has a bad line {line + 1}.")
                rows.append({"drive": drive, "frame_id": f"{drive}-{line}", "value": int(text) * params.scale})
        context.write(self.frames, pa.Table.from_pylist(rows, schema=ROWS))
        context.write(self.count, pa.Table.from_pylist([{"drive": "all", "frame_id": "all", "value": len(rows)}], schema=ROWS))
        context.unknown("place", "Text files have none.", port=self.frames)


class ToySplit(tc.Stage):
    """Keep one drive apart."""

    kind = tc.StageKind.CURATE
    frames = tc.Input("dataset")
    train = tc.Output("dataset")
    validation = tc.Output("dataset")
    checks = ("toy_no_leak",)

    class Params(tc.Params):
        holdout: str = "b"
        leak: bool = False

    def run(self, context, params):
        table = context.read(self.frames).to_table()
        held = pc.equal(table["drive"], params.holdout)
        context.write(self.train, table if params.leak else table.filter(pc.invert(held)))
        context.write(self.validation, table.filter(held))


class ToyTrain(tc.Stage):
    """Add the numbers up, slowly where asked."""

    kind = tc.StageKind.TRAIN
    frames = tc.Input("dataset")
    model = tc.Output("model")

    class Params(tc.Params):
        epochs: int = tc.Field(1, ge=1)
        seconds: float = 0.0
        fail: str = ""

    def run(self, context, params):
        for epoch in range(params.epochs):
            context.progress(epoch, params.epochs)
            time.sleep(params.seconds / params.epochs)
        if params.fail == "value":
            raise ValueError("the loss is nan")
        if params.fail == "exit":
            raise SystemExit(3)
        total = sum(context.read(self.frames).to_table()["value"].to_pylist())
        (context.path(self.model) / "weights.json").write_text(json.dumps({"total": total, "seed": context.seed, "epochs": params.epochs}))


class ToyKpis(tc.Stage):
    """Measure the model."""

    kind = tc.StageKind.EVALUATE
    model = tc.Input("model")
    frames = tc.Input("dataset")
    report = tc.Output("kpi_report")

    class Params(tc.Params):
        recall: float = 0.5

    def run(self, context, params):
        weights = json.loads((context.read(self.model) / "weights.json").read_text())
        values = {"recall.car": params.recall, "total": float(weights["total"])}
        (context.path(self.report) / "kpis.json").write_text(json.dumps(values))
        context.describe(
            self.report, "tracecore_kpis", {"summary": "toy figures", "values": values, "baseline": {"recall.car": 0.0}, "executed_with": "toy"}
        )


class Positive(tc.Check):
    """Nothing negative may be read."""

    name = "toy_positive"
    description = "Every value is positive."

    def run(self, context):
        if "raise" in context.params:
            raise ZeroDivisionError(context.params["raise"])
        worst = min(context.read().to_table()["value"].to_pylist(), default=0)
        return tc.CheckResult(worst >= 0, f"the least value is {worst}")


class NoLeak(tc.Check):
    """A drive is on one side only."""

    name = "toy_no_leak"
    severity = Severity.WARN

    def run(self, context):
        sides = [set(context.read(port).to_table()["drive"].to_pylist()) for port in context.ports]
        both = sorted(sides[0] & sides[1])
        return tc.CheckResult(not both, f"drive {', '.join(both)} is on both sides" if both else "no drive is on both sides")


class EnoughArtifacts(tc.Gate):
    """A build holds enough."""

    name = "toy-enough"

    def check_requirement(self, requirement):
        if other := sorted(set(requirement) - {"artifacts"}):
            raise tc.UsageError(f"The gate 'toy-enough' has no key '{other[0]}'.")

    def evaluate(self, evidence, requirement):
        least = requirement.get("artifacts", 1)
        if least == "raise":
            raise SystemExit("the gate gave up")
        found = len(evidence.artifacts)
        return tc.GateResult(found >= least, found, least, f"{found} artifacts, {least} required")


@tc.hookimpl
def tracecore_register_stages():
    return [ToyIngest, ToySplit, ToyTrain, ToyKpis]


@tc.hookimpl
def tracecore_register_checks():
    return [Positive(), NoLeak()]


@tc.hookimpl
def tracecore_register_gates():
    return [EnoughArtifacts()]
