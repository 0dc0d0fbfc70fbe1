"""A small perception program in a real record, written by the recorder, for tests of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracecore.testing.worlds import stages
from tracecore.workspace import Workspace
from tracecore_schemas.build import GateOutcome, SealedBuild, SealRequest, Waiver
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.facet_summary import count
from tracecore_schemas.kinds import Media, Severity, StageKind, default_use
from tracecore_schemas.run import Artifact, CheckRun, Environment, ExpectationOutcome, Origin, Plugin, Run, RunInput, Unknown

SOURCE = digest_bytes(b"source")


def artifact(kind: str, name: str, content: str, **more: Any) -> Artifact:
    """Return an artifact whose digest and size are those of a text."""
    return Artifact(kind, name, digest_bytes(content.encode()), **{"media": Media.FILE, "size_bytes": len(content), **more})


def origin(name: str, content: str, note: str) -> Origin:
    """Return an origin whose digest and size are those of a text."""
    return Origin(name, digest_bytes(content.encode()), len(content), note)


PROGRAM = artifact("program", "demo", "the program", origin=origin("demo.yaml", "the program", "program file"))


def plugin(stage: str, version: str = "0.1.0") -> Plugin:
    """Return the plugin that a run of a stage names."""
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
        """Create a workspace in a folder, and open its record."""
        return cls(stages.open_record(Workspace.create(folder, slug="world")))

    def start(self, job: str, stage: StageKind | None = None, **more: Any) -> Run:
        """Record the START of a run and return it."""
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
        """Record a run whose inputs are (role, asset) pairs of this world, and return its id."""
        run = self.start(asset, stage, plugin=plugin(stage.value, version), params=params or {})
        read = [RunInput("program", PROGRAM), *(self.reading(stage, role, name) for role, name in inputs), *more_inputs]
        self.record.recorder.complete(run, read, outputs or {}, facets)
        for port, made in (outputs or {}).items():
            key = asset if len(outputs or {}) == 1 else f"{asset}.{port}"
            self.made[key], self.runs[key] = made, run.id
        self.runs[asset] = run.id
        return run.id

    def reading(self, stage: StageKind, role: str, name: str) -> RunInput:
        """Return an asset of this world as a stage's input, with the default use of the stage's kind."""
        return RunInput(role, self.made[name], self.runs[name], default_use(stage, self.made[name].kind))

    def drive(self, name: str) -> RunInput:
        """Record a drive log by a separate run, and return it as an input."""
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
        """Record a check of an asset and return it."""
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
        """Record the ingest of drives to a frame and a signal table, with one quarantined file."""
        left_out = [{"name": "bad.mcap", "digest": SOURCE, "size_bytes": 3, "reason": "its CRC is wrong"}]
        quarantined = {"tracecore_quarantine": {"summary": "1 file left out", "files": left_out}}
        held = {"summary": count(len(drives), "frame"), "frames": len(drives)}
        frames = artifact("dataset", "demo.drives.frames", f"frames {drives}", rows=len(drives), facets={"tracecore_frames": held})
        signals = artifact("dataset", "demo.drives.signals", f"signals {drives}")
        logs = [self.drive(name) for name in drives]
        self.run("drives", StageKind.INGEST, outputs={"frames": frames, "signals": signals}, more_inputs=logs, facets=quarantined)

    def curate(self, content: str = "split") -> None:
        """Record a split of the frames, with a check `no_leak` that has an unknown."""
        train, validation = (artifact("dataset", f"demo.training_set.{port}", f"{port} {content}") for port in ("train", "validation"))
        self.run("training_set", StageKind.CURATE, [("frames", "drives.frames")], {"train": train, "validation": validation})
        self.check("training_set.train", "no_leak", severity=Severity.WARN, unknowns=[Unknown("time and place", "the clocks are synthetic")])
        self.check("training_set.train", "not_empty")

    def label(self) -> None:
        """Record the import of labels from a file."""
        content = "coco"
        file = artifact("external", "labels.coco.json", content, namespace="file", origin=origin("labels.coco.json", content, "label file"))
        labels = artifact("label_batch", "demo.labels", "boxes", unknowns=(Unknown("labeler", "the file names none"),))
        self.run("labels", StageKind.LABEL, [("frames", "drives.frames")], {"labels": labels}, more_inputs=[RunInput("label_file", file)])

    def campaign(self, *labelers: str, content: str = "campaign", **facet: Any) -> Artifact:
        """Record labels made by labelers (pseudonyms), which replace the imported ones, and return them."""
        said = {
            "summary": "12 boxes on 2 frames",
            "boxes": 12,
            "frames": 2,
            "categories": {"car": 12},
            "labelers": list(labelers),
            "guidelines": ["v3"],
            **facet,
        }
        labels = artifact("label_batch", "demo.labels", content, facets={"tracecore_labels": said})
        self.run("labels", StageKind.LABEL, [("frames", "drives.frames")], {"labels": labels})
        return labels

    def train(self, content: str = "weights", *, epochs: int = 1) -> None:
        """Record the training of a model."""
        model = artifact("model", "demo.model", content, facets={"acme_training": {"summary": count(epochs, "epoch"), "epochs": epochs}})
        self.run("model", StageKind.TRAIN, [("frames", "training_set.train"), ("labels", "labels")], {"model": model}, params={"epochs": epochs})

    def compile(self, content: str = "engine") -> None:
        """Record the compilation of an engine that could not be executed."""
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
        """Record the whole program, up to what a release seals, and return this world."""
        self.ingest("north", "south")
        self.curate()
        self.label()
        self.train()
        self.compile()
        return self

    def request(
        self, name: str, *, gates: Sequence[GateOutcome] = (), waivers: Sequence[Waiver] = (), approver: str | None = "Ada Lovelace"
    ) -> SealRequest:
        """Return a request to seal a build of the newest versions."""
        run = Run(self.record.recorder.new_run_id(), "demo.release", datetime.now(UTC), program=PROGRAM)
        roles = ("engine", "labels", "model", "training_set.train")
        artifacts = tuple((role, self.made[role], self.runs[role]) for role in roles if role in self.made)
        chosen = tuple(gates) or (GateOutcome("no_leak", True, False, 0, 0, "no frame is shared"),)
        return SealRequest(name, run, PROGRAM, artifacts, chosen, tuple(waivers), approver)

    def seal(self, name: str = "demo", **more: Any) -> SealedBuild:
        """Seal a build of the newest versions and return it."""
        sealed: SealedBuild = self.record.seal(self.request(name, **more))
        return sealed
