"""Test worlds for plugins: a workspace in which single stages run, a small recorded program to query, and the command line."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click
import pyarrow as pa
from click.testing import CliRunner, Result

from tracecore.artifacts import RECORD_GROUP
from tracecore.plugins.host import PluginHost
from tracecore.running.executor import Executor
from tracecore.running.task import DEFAULT_THREADS, Outcome, ResolvedInput, Task
from tracecore.store import open_store
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_schemas.build import GateOutcome, SealedBuild, SealRequest, Waiver
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.facets import count
from tracecore_schemas.kinds import Media, Severity, StageKind, default_use
from tracecore_schemas.run import Artifact, CheckRun, Environment, ExpectationOutcome, Origin, Plugin, Run, RunInput, Unknown

__all__ = [
    "Outcome",
    "RecordWorld",
    "ResolvedInput",
    "StageWorld",
    "artifact",
    "check_of",
    "given",
    "load_host",
    "open_record",
    "origin",
    "real_input",
    "run_command",
]


def open_record(workspace: Workspace) -> Any:
    """Open the record (ledger and catalog) of a workspace and return the `Record`."""
    return next(iter(entry_points(group=RECORD_GROUP))).load().open(workspace)


def load_host(*plugins: str) -> PluginHost:
    """Return a plugin host with the plugins whose entry points are named; without names, with those that the settings allow."""
    settings = Settings.read()
    return PluginHost.load(settings.model_copy(update={"plugins": plugins}) if plugins else settings)


def real_input(*parts: str) -> Path:
    """Return the path of recorded test data below the folder TRACECORE_SHARED_DATA; skips the running test if it does not exist."""
    path = Path(Settings.read().others.get("SHARED_DATA") or "shared/data", *parts)
    if not path.exists():
        import pytest

        pytest.skip(f"real input is absent: {'/'.join(parts) or 'shared data'} (set TRACECORE_SHARED_DATA to the folder that holds it)")
    return path


def run_command(*words: object, stdin: str | None = None) -> Result:
    """Run the command line `tracecore` with these arguments in this process, and return click's test result (exit code and output)."""
    cli: click.Command = resolve_name("tracecore.commands.shell:cli")  # by name: the command line lies a floor above
    return CliRunner().invoke(cli, [str(word) for word in words], input=stdin)


class StageWorld:
    """A workspace with its store, record and executor; `progress` is (done, total, note) of each step that a stage reports."""

    def __init__(self, workspace: Workspace, host: PluginHost) -> None:
        self.workspace = workspace
        self.store = open_store(workspace)
        self.record = open_record(workspace)
        self.progress: list[tuple[int, int, str]] = []
        self.base = workspace.root.parent
        self._use(host)

    @classmethod
    def at(cls, folder: Path, *plugins: str) -> StageWorld:
        """Create a workspace in `folder/workspace` and return a test world that can run the stages of the named plugins in it."""
        host = load_host(*plugins)
        return cls(Workspace.create(NamedWorkspace(host.settings, folder / "workspace"), slug="test"), host)

    def allow(self, *plugins: str) -> None:
        """Replace the plugins whose stages the test world can run by the named ones; the workspace stays."""
        self._use(load_host(*plugins))

    def _use(self, host: PluginHost) -> None:
        self.host = host
        self.executor = Executor(self.workspace, self.store, self.record.recorder, host, self._add_progress)

    def _add_progress(self, done: int, total: int, note: str = "") -> None:
        self.progress.append((done, total, note))

    def table(self, kind: str, name: str, value: pa.Table | Path, **facets: Any) -> ResolvedInput:
        """Store a table, folder or file and return it as an input for a stage; a trace ends there in a gap, since no run or origin is recorded."""
        return self.supply(kind, name, value, facets)

    folder = file = table

    def supply(self, kind: str, name: str, value: pa.Table | Path, facets: Mapping[str, Any], note: str = "") -> ResolvedInput:
        """Store a table, folder or file and return it as an input for a stage; with a `note` it has an origin, so a trace ends without a gap."""
        run_id = self.record.recorder.new_run_id()
        if not isinstance(value, Path):
            stored = self.store.put_table(self.store.stage_table(value, run_id=run_id, port="given"), kind=kind, name=name, run_id=run_id)
        elif value.is_dir():
            staged = self.store.staging(run_id) / "given"
            shutil.copytree(value, staged)
            stored = self.store.put_directory(staged, run_id=run_id)
        else:
            stored = self.store.put_file(value, run_id=run_id)
        origin = Origin(name.rpartition(".")[2], stored.digest, stored.size_bytes or 0, note) if note else None
        size = (stored.size_bytes, stored.rows, stored.schema, stored.delta)
        return ResolvedInput(Artifact(kind, name, stored.digest, stored.media, stored.location, *size, origin, facets=facets), None)

    def run(
        self,
        kind: str,
        stage: str,
        inputs: Mapping[str, ResolvedInput],
        *,
        asset: str = "asset",
        seed: int = 7,
        threads: int = DEFAULT_THREADS,
        checks: Mapping[str, Mapping[str, Any]] | None = None,
        readers: Mapping[str, Sequence[str]] | None = None,
        **params: Any,
    ) -> Outcome:
        """Run one stage, named by stage kind and name, and return its outputs and checks; `readers` has the assets that read an output, by port."""
        task = Task("test", asset, self.host.stage(kind, stage), params, inputs, seed, None, self.base, checks or {}, readers or {}, threads=threads)
        return self.executor.execute(task)

    def read(self, outcome: Outcome, port: str) -> Any:
        """Return the content of the output `port` of a stage's run: a `pyarrow.Table`, or the path of a file or folder."""
        opened = self.store.open(outcome.outputs[port])
        return opened if isinstance(opened, Path) else opened.to_table()


def check_of(outcome: Outcome, name: str) -> CheckRun:
    """Return the check run with a name in the outcome of a stage's run; raises ValueError unless exactly one has it."""
    [found] = [check for check in outcome.checks if check.name == name]
    return found


def given(outcome: Outcome, port: str) -> ResolvedInput:
    """Return the output `port` of a stage's run as an input for another stage."""
    artifact = outcome.outputs[port]
    return ResolvedInput(artifact, outcome.run_id, rejected=artifact.ref in outcome.rejected)


SOURCE = digest_bytes(b"source")


def artifact(kind: str, name: str, content: str, **more: Any) -> Artifact:
    """Return an artifact for tests, with the digest and size of the text `content`; `more` sets other attributes."""
    return Artifact(kind, name, digest_bytes(content.encode()), **{"media": Media.FILE, "size_bytes": len(content), **more})


def origin(name: str, content: str, note: str) -> Origin:
    """Return the origin (source file of an artifact) for tests, with the digest and size of the text `content`."""
    return Origin(name, digest_bytes(content.encode()), len(content), note)


PROGRAM = artifact("program", "demo", "the program", origin=origin("demo.yaml", "the program", "program file"))


def plugin(stage: str, version: str = "0.1.0") -> Plugin:
    """Return the made-up plugin that tests record as the one that ran a stage of the kind `stage` (`train`)."""
    return Plugin(stage, stage, f"tracecore-{stage}", version, SOURCE)


@dataclass
class RecordWorld:
    """A record, and the newest version and run of each asset recorded in it."""

    record: Any
    runs: dict[str, str] = field(default_factory=dict)
    made: dict[str, Artifact] = field(default_factory=dict)
    environment: Environment | None = None

    @classmethod
    def at(cls, folder: Path) -> RecordWorld:
        """Create a workspace in a folder and return a test world with its opened record."""
        return cls(open_record(Workspace.create(folder, slug="world")))

    def start(self, job: str, stage: StageKind | None = None, **more: Any) -> Run:
        """Record the START event of a run of the job `demo.<job>`, and return the run."""
        run = Run(
            self.record.recorder.new_run_id(), f"demo.{job}", datetime.now(UTC), stage, program=PROGRAM, **{"environment": self.environment, **more}
        )
        self.record.recorder.start(run)
        return run

    def run(
        self,
        asset: str,
        stage: StageKind,
        inputs: Sequence[tuple[str, str]] = (),
        outputs: Mapping[str, Artifact] | None = None,
        *,
        more_inputs: Sequence[RunInput] = (),
        facets: Mapping[str, Any] | None = None,
        version: str = "0.1.0",
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Record a complete run of an asset, and return its id; `inputs` are pairs (role, name of an asset that was recorded before)."""
        run = self.start(asset, stage, plugin=plugin(stage.value, version), params=params or {})
        read = [RunInput("program", PROGRAM), *(self.reading(stage, role, name) for role, name in inputs), *more_inputs]
        self.record.recorder.complete(run, read, outputs or {}, facets)
        for port, made in (outputs or {}).items():
            key = asset if len(outputs or {}) == 1 else f"{asset}.{port}"
            self.made[key], self.runs[key] = made, run.id
        self.runs[asset] = run.id
        return run.id

    def reading(self, stage: StageKind, role: str, name: str) -> RunInput:
        """Return the newest version of the asset `name` as an input of a run, with the default use (such as `learn`) for the kind `stage`."""
        return RunInput(role, self.made[name], self.runs[name], default_use(stage, self.made[name].kind))

    def drive(self, name: str) -> RunInput:
        """Record a run that ingests a made-up drive log, and return the log as an input for another run."""
        content = f"drive {name}"
        drive = {
            "summary": "1970-01-01",
            "drive": name,
            "start_ns": "1000",
            "end_ns": "2000",
            "sensors": ["/camera/front/image"],
            "topics": [],
            "metadata": {},
        }
        log = artifact("drive_log", name, content, origin=origin(f"{name}.mcap", content, "drive file"), facets={"tracecore_drive": drive})
        run = self.start("drives.drive_log", StageKind.INGEST, plugin=plugin("ingest"))
        self.record.recorder.complete(run, [], {"drive_log": log})
        return RunInput("drive_log", log, run.id)

    def check(
        self, asset: str, name: str, *, success: bool = True, severity: Severity = Severity.BLOCKING, unknowns: Sequence[Unknown] = ()
    ) -> CheckRun:
        """Record a run of the check `name` on the newest version of an asset, with the result `success`, and return it."""
        target = self.made[asset]
        now = datetime.now(UTC)
        outcome = ExpectationOutcome(name, success)
        inputs = (RunInput("frames", target, self.runs[asset]),)
        message = "as it should be" if success else "2 frames are shared"
        check = CheckRun(
            self.record.recorder.new_run_id(), f"demo.{asset}.check.{name}", name, self.runs[asset], target.ref, inputs,
            success, severity, (outcome,), message, now, now, {}, tuple(unknowns),
        )  # fmt: skip
        self.record.recorder.check(check)
        return check

    def ingest(self, *drives: str) -> None:
        """Record a run that ingests drives: frame table, signal table, and one quarantined (left out as damaged) file."""
        left_out = [{"name": "bad.mcap", "digest": SOURCE, "size_bytes": 3, "reason": "its CRC is wrong"}]
        quarantined = {"tracecore_quarantine": {"summary": "1 file left out", "files": left_out}}
        held = {"summary": count(len(drives), "frame"), "frames": len(drives)}
        frames = artifact("dataset", "demo.drives.frames", f"frames {drives}", rows=len(drives), facets={"tracecore_frames": held})
        signals = artifact("dataset", "demo.drives.signals", f"signals {drives}")
        logs = [self.drive(name) for name in drives]
        self.run("drives", StageKind.INGEST, outputs={"frames": frames, "signals": signals}, more_inputs=logs, facets=quarantined)

    def curate(self, content: str = "split") -> None:
        """Record a run that splits the frames into train and validation, with digests that depend on `content`, and two checks of `train`."""
        train, validation = (artifact("dataset", f"demo.training_set.{port}", f"{port} {content}") for port in ("train", "validation"))
        self.run("training_set", StageKind.CURATE, [("frames", "drives.frames")], {"train": train, "validation": validation})
        self.check("training_set.train", "no_leak", severity=Severity.WARN, unknowns=[Unknown("time and place", "the clocks are synthetic")])
        self.check("training_set.train", "not_empty")

    def label(self) -> None:
        """Record a run that imports a label batch from a COCO file."""
        content = "coco"
        file = artifact("external", "labels.coco.json", content, namespace="file", origin=origin("labels.coco.json", content, "label file"))
        labels = artifact("label_batch", "demo.labels", "boxes", unknowns=(Unknown("labeler", "the file names none"),))
        self.run("labels", StageKind.LABEL, [("frames", "drives.frames")], {"labels": labels}, more_inputs=[RunInput("label_file", file)])

    def campaign(self, *labelers: str, content: str = "campaign", **facet: Any) -> Artifact:
        """Record a run that labels the frames anew by `labelers` (pseudonyms), and return the new label batch, the newest from then on."""
        labels_facet = {
            "summary": "12 boxes on 2 frames",
            "boxes": 12,
            "frames": 2,
            "categories": {"car": 12},
            "labelers": list(labelers),
            "guidelines": ["v3"],
            **facet,
        }
        labels = artifact("label_batch", "demo.labels", content, facets={"tracecore_labels": labels_facet})
        self.run("labels", StageKind.LABEL, [("frames", "drives.frames")], {"labels": labels})
        return labels

    def train(self, content: str = "weights", *, epochs: int = 1) -> None:
        """Record a run that trains a model on the training set and labels; `content` determines the model's digest."""
        model = artifact("model", "demo.model", content, facets={"acme_training": {"summary": count(epochs, "epoch"), "epochs": epochs}})
        self.run("model", StageKind.TRAIN, [("frames", "training_set.train"), ("labels", "labels")], {"model": model}, params={"epochs": epochs})

    def compile(self, content: str = "engine") -> None:
        """Record a run that compiles the model to an engine whose facet states that it could not be executed on this machine."""
        why = "no GPU of compute capability 8.9"
        facet = {
            "summary": "tensorrt-rtx 1.7.1 · SM89 · fp16",
            "roles": [{"role": "engine", "file": "model.engine", "sha256": digest_bytes(content.encode()).removeprefix("sha256:")}],
            "builder": "tensorrt-rtx",
            "builder_version": "1.7.1",
            "compute_capability": "SM89",
            "precision": "fp16",
            "executed": False,
            "why": why,
        }
        engine = artifact("engine", "demo.engine", content, facets={"tracecore_engine": facet})
        self.run("engine", StageKind.COMPILE, [("model", "model")], {"engine": engine})

    def all(self) -> RecordWorld:
        """Record one run each of ingest, curate, label, train and compile, and return this test world."""
        self.ingest("north", "south")
        self.curate()
        self.label()
        self.train()
        self.compile()
        return self

    def request(
        self, name: str, *, gates: Sequence[GateOutcome] = (), waivers: Sequence[Waiver] = (), approver: str | None = "Ada Lovelace"
    ) -> SealRequest:
        """Return a request to seal a build of the newest engine, labels, model and training set recorded; by default with one passed gate."""
        run = Run(self.record.recorder.new_run_id(), "demo.release", datetime.now(UTC), program=PROGRAM)
        roles = ("engine", "labels", "model", "training_set.train")
        artifacts = tuple((role, self.made[role], self.runs[role]) for role in roles if role in self.made)
        chosen = tuple(gates) or (GateOutcome("no_leak", True, False, 0, 0, "no frame is shared"),)
        return SealRequest(name, run, PROGRAM, artifacts, chosen, tuple(waivers), approver)

    def seal(self, name: str = "demo", **more: Any) -> SealedBuild:
        """Seal a build of the newest engine, labels, model and training set recorded, and return it; `more` are arguments of `request`."""
        sealed: SealedBuild = self.record.seal(self.request(name, **more))
        return sealed
