"""A small plugin for kernel tests: it ingests text files, filters numbers, fails in several ways, and is watched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fresh_record import fresh_record

from tracecore.plugins.host import PluginHost
from tracecore.running.executor import Executor, Outcome, ResolvedInput, Task
from tracecore.store import open_store
from tracecore.workspace import Workspace
from tracecore_schemas.run import Artifact

SOURCE = '''
"""Stages to try the kernel with."""

import os, signal, sys, time

import pyarrow as pa
import tracecore as tc

SEEN = []


class Logs(tc.Stage):
    """Read text files into a table of numbers."""

    kind = tc.StageKind.INGEST
    drives = tc.Files("paths", suffixes=[".txt"], note="drive file")
    numbers = tc.Output("dataset")

    class Params(tc.Params):
        paths: list[str]
        factor: int = 1

    def run(self, context, params):
        rows = []
        for done, file in enumerate(context.files(self.drives)):
            text = file.path.read_text()
            if "damaged" in text:
                context.quarantine(file, "it says so")
                continue
            drive, _, numbers = text.partition(":")
            said = {"summary": "a drive", "drive": drive.strip()}
            path = context.adopt(file, kind="drive_log", name=drive.strip(), facets={"number_drive": said})
            assert path.read_text() == text
            rows += [{"drive": drive.strip(), "timestamp_ns": i, "value": int(n) * params.factor} for i, n in enumerate(numbers.split())]
            context.progress(done + 1, 0, file.name)
        schema = pa.schema([pa.field("drive", pa.string(), False), ("timestamp_ns", pa.int64()), ("value", pa.int64())])
        context.write(self.numbers, pa.Table.from_pylist(rows, schema=schema))
        context.describe(self.numbers, "numbers_facet", {"summary": tc.count(len(rows), "row"), "count": len(rows)})
        context.unknown("clock", "text has none", port=self.numbers)


class Split(tc.Stage):
    """Split numbers in two."""

    kind = tc.StageKind.CURATE
    numbers = tc.Input("dataset")
    hint = tc.Input("model", optional=True)
    low = tc.Output("dataset", checks=["small"])
    high = tc.Output("dataset")

    class Params(tc.Params):
        at: int = tc.Field(5, ge=0)

    def run(self, context, params):
        SEEN.append("split")
        table = context.read(self.numbers).to_table()
        assert context.read(self.hint) is None
        import pyarrow.compute as pc
        context.write(self.low, table.filter(pc.field("value") < params.at))
        context.write(self.high, table.filter(pc.field("value") >= params.at))


class Model(tc.Stage):
    """Write a directory."""

    kind = tc.StageKind.TRAIN
    numbers = tc.Input("dataset")
    model = tc.Output("model")

    class Params(tc.Params):
        mode: str = "good"

    def run(self, context, params):
        folder = context.path(self.model)
        (folder / "weights.bin").write_bytes(bytes([context.seed % 256]) * 10)
        (folder / "deep").mkdir()
        (folder / "deep" / "config.json").write_text("{}")
        context.log.info("training with %d threads", context.threads)
        if params.mode == "raise":
            raise FloatingPointError("loss is nan at step 3")
        if params.mode == "exit":
            sys.exit(7)
        if params.mode == "interrupt":
            raise KeyboardInterrupt
        if params.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if params.mode == "slow":
            time.sleep(1.5)
        if params.mode == "usage":
            raise tc.UsageError("Class 'tram' is outside the list.")
        if params.mode == "nan":
            context.describe(self.model, "numbers_facet", {"summary": "a loss", "loss": float("nan")})
        summaries = {"mute": {}, "number": {"summary": 7}, "blank": {"summary": " "}, "long": {"summary": 121 * "x"}, "lines": {"summary": "a\\nb"}}
        if params.mode in summaries:
            context.describe(self.model, "numbers_facet", {"loss": 1.0, **summaries[params.mode]})
        if params.mode == "typo":
            context.read(self.model)


class Engine(tc.Stage):
    """Write one file."""

    kind = tc.StageKind.COMPILE
    model = tc.Input("model")
    engine = tc.Output("engine", file="model.engine")

    class Params(tc.Params):
        write: bool = True

    def run(self, context, params):
        weights = (context.read(self.model) / "weights.bin").read_bytes()
        if params.write:
            (context.path(self.engine) / "model.engine").write_bytes(weights * 2)


class Labels(tc.Stage):
    """Read label files; the first is kept, the others are only looked at."""

    kind = tc.StageKind.LABEL
    sources = tc.Files("paths", suffixes=[".json"], note="label file", optional=True)
    labels = tc.Output("label_batch")

    class Params(tc.Params):
        paths: list[str] = []

    def run(self, context, params):
        files = context.files(self.sources)
        kept = [context.adopt(file, kind="external", name=file.name).read_text() for file in files[:1]]
        texts = kept + [file.path.read_text() for file in files[1:]]
        context.write(self.labels, pa.table({"label": texts}, schema=pa.schema([("label", pa.string())])))


class Small(tc.Check):
    """The low half is small."""

    name = "small"
    description = "At most so many rows."

    def run(self, context):
        most = context.params.get("most", 100)
        rows = context.read().count_rows()
        context.read("high")
        if most == "raise":
            sys.exit(1)
        return tc.CheckResult(rows <= most, f"{rows} rows, at most {most}")


@tc.hookimpl
def tracecore_register_stages():
    return [Logs, Split, Model, Engine, Labels]


@tc.hookimpl
def tracecore_register_checks():
    return [Small()]


@tc.hookimpl
def tracecore_run_started(run):
    SEEN.append(("started", run.job, run.state.value))


@tc.hookimpl
def tracecore_run_finished(run):
    SEEN.append(("finished", run.job, run.state.value, len(run.outputs)))
'''


class World:
    """A workspace with its store, record and executor, and drive files to read."""

    def __init__(self, workspace: Workspace, host: PluginHost) -> None:
        self.workspace = workspace
        self.host = host
        self.store = open_store(workspace)
        self.record = fresh_record(workspace)
        self.told: list[tuple[int, int, str]] = []
        self.executor = Executor(
            workspace, self.store, self.record.recorder, host, lambda done, total, note="": self.told.append((done, total, note))
        )
        self.base = workspace.root.parent

    def drive(self, file: str, text: str) -> Path:
        """Write a drive file next to the workspace."""
        path = self.base / "drives" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def task(
        self,
        asset: str,
        kind: str,
        stage: str,
        inputs: Mapping[str, ResolvedInput] | None = None,
        *,
        seed: int = 7,
        checks: Any = None,
        **params: Any,
    ) -> Task:
        """Put a task together."""
        return Task(
            program="test",
            asset=asset,
            stage=self.host.stage(kind, stage),
            params=params,
            inputs=inputs or {},
            seed=seed,
            program_artifact=None,
            base=self.base,
            checks=checks or {},
        )

    def run(self, *arguments: Any, **params: Any) -> Outcome:
        """Execute a task."""
        return self.executor.execute(self.task(*arguments, **params))

    def logs(self, **params: Any) -> Outcome:
        """Ingest the drive files."""
        return self.run("drives", "ingest", "logs", paths=["drives"], **params)

    def split(self, of: Outcome, **params: Any) -> Outcome:
        """Split ingested numbers."""
        return self.run("training_set", "curate", "split", {"numbers": given(of, "numbers")}, **params)

    def model(self, of: Outcome, **params: Any) -> Outcome:
        """Train on the low half."""
        return self.run("model", "train", "model", {"numbers": given(of, "low")}, **params)


def given(outcome: Outcome, port: str) -> ResolvedInput:
    """Supply one output to the next task."""
    artifact: Artifact = outcome.outputs[port]
    return ResolvedInput(artifact, outcome.run_id, rejected=artifact.ref in outcome.rejected)
