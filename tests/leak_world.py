"""A program whose runs are recorded, with real frame tables and what each used them for, and never run; its gates are judged as a release's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fresh_record import fresh_record

from tracecore.plugins.host import PluginHost
from tracecore.store.local import LocalStore
from tracecore.testing.drawn_frames import drive_of
from tracecore.workspace import Workspace
from tracecore_assets.load.program import GateSpec, Release
from tracecore_assets.release.gates import evaluate_gates, evidence_of
from tracecore_schemas.arrow_tables import FRAMES, table_of
from tracecore_schemas.build import GateOutcome
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import Media, StageKind, Use, default_use
from tracecore_schemas.run import Artifact, Origin, Plugin, Run, RunInput

__all__ = ["A", "B", "C", "D", "LeakWorld", "outside", "unknowns"]

A, B, C, D = (drive_of(name, 6) for name in "abcd")

_SOURCE = digest_bytes(b"source")


class LeakWorld:
    """A record and a store; `made` holds each artifact with its run, by asset or `<asset>.<port>`."""

    def __init__(self, folder: Path, host: PluginHost) -> None:
        workspace = Workspace.create(folder, slug="leaks")
        self.host = host
        self.store = LocalStore(workspace)
        self.record = fresh_record(workspace)
        self.made: dict[str, tuple[Artifact, str]] = {}

    def run(
        self, asset: str, stage: StageKind | None, inputs: Mapping[str, str | tuple[str, str]], outputs: Mapping[str, Artifact], **more: Any
    ) -> None:
        """Record one run.

        Args:
            asset: its name.
            stage: its kind; None for a run that records none.
            inputs: by port: what of this world it read, or (that, the port's declared use).
            outputs: by port; one only is called by the asset's name.
            **more: `outside`: files that it read, by role.
        """
        at = datetime.now(UTC)
        run = Run(self.record.recorder.new_run_id(), f"p.{asset}", at, stage, Plugin("toy", "toy", "toy", "1", _SOURCE) if stage else None)
        self.record.recorder.start(run)
        read = [RunInput(role, file) for role, file in more.get("outside", {}).items()]
        for role, given in inputs.items():
            name, declared = given if isinstance(given, tuple) else (given, None)
            artifact, producer = self.made[name]
            implied = None if stage is None else default_use(stage, artifact.kind)
            read.append(RunInput(role, artifact, producer, implied if declared is None else Use(declared)))
        self.record.recorder.complete(run, read, outputs)
        for port, made in outputs.items():
            self.made[asset if len(outputs) == 1 else f"{asset}.{port}"] = made, run.id

    def table(self, name: str, rows: Sequence[dict[str, Any]] | pa.Table, kind: str = "dataset", **facets: Any) -> Artifact:
        """Put a table into the store: of frames, or any other."""
        run = self.record.recorder.new_run_id()
        table = rows if isinstance(rows, pa.Table) else table_of(FRAMES, rows)
        stored = self.store.put_table(
            self.store.stage_table(table, run_id=run, port="given"),
            kind=kind,
            name=f"p.{name}",
            run_id=run,
            after=self.record.recorder.newest_table(kind, f"p.{name}"),
        )
        place = (stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta)
        return Artifact(kind, f"p.{name}", *place, facets=facets)

    def thing(self, kind: str, name: str, content: str = "", **more: Any) -> Artifact:
        """Something whose bytes are not opened: a model, a report, a request."""
        return Artifact(kind, f"p.{name}", digest_bytes(f"{kind} {name} {content}".encode()), Media.NONE, **more)

    def report(self, name: str) -> Artifact:
        """A report with one figure."""
        return self.thing("kpi_report", name, facets={"tracecore_kpis": {"summary": "x", "values": {"mota": 0.1}, "baseline": {}}})

    def parts(self, train: Sequence[dict[str, Any]] = A, validation: Sequence[dict[str, Any]] = B, test: Sequence[dict[str, Any]] = C) -> None:
        """Ingest, a split in three, and a model."""
        self.ingest("drives", [*A, *B, *C, *D])
        self.split("parts", "drives", train=train, validation=validation, test=test)
        self.train("model", "parts.train")

    def ingest(self, asset: str, rows: Sequence[dict[str, Any]]) -> None:
        self.run(asset, StageKind.INGEST, {}, {"frames": self.table(asset, rows)})

    def split(self, asset: str, of: str, **sides: Sequence[dict[str, Any]]) -> None:
        """A split into parts, each with the facet that names its side."""
        tables = {
            side: self.table(f"{asset}.{side}", rows, tracecore_split={"summary": side, "by": "drive", "side": side}) for side, rows in sides.items()
        }
        self.run(asset, StageKind.CURATE, {"frames": of}, tables)

    def train(self, asset: str, frames: str, **inputs: str | tuple[str, str]) -> None:
        self.run(asset, StageKind.TRAIN, {"frames": frames, **inputs}, {"model": self.thing("model", asset)})

    def evaluate(
        self, asset: str, frames: str, model: str = "model", *, kpis: Mapping[str, float] | None = None, **inputs: str | tuple[str, str]
    ) -> None:
        """An evaluation with a report and a table of mistakes."""
        values = {"ap": 0.5} if kpis is None else dict(kpis)
        facet = {"summary": "figures", "values": values, "baseline": {}}
        report = self.thing("kpi_report", f"{asset}.report", facets={"tracecore_kpis": facet} if values else {})
        events = self.thing("event_set", f"{asset}.events")
        self.run(asset, StageKind.EVALUATE, {"model": model, "frames": frames, **inputs}, {"report": report, "events": events})

    def judge(self, *gates: Mapping[str, Any], roles: Sequence[str] | None = None) -> list[GateOutcome]:
        """Judge gates over what was made, or over some of it; `{check: no_leak}` where none is given."""
        release = Release(gates=tuple(GateSpec.model_validate(gate) for gate in gates or ({"check": "no_leak"},)))
        chosen = {role: made for role, made in self.made.items() if roles is None or role in roles}
        self.evidence = evidence_of(chosen, (), (), release, self.record, self.store, self.host)
        return list(evaluate_gates(release, self.evidence, self.host))

    def gate(self, **more: Any) -> GateOutcome:
        """Judge `{check: no_leak}` only."""
        return self.judge({"check": "no_leak", **more})[0]

    @property
    def selection(self) -> list[str]:
        """Roles of the reports that were judged to be of selection."""
        return [report.role for report in self.evidence.reports if report.selection]


def outside(name: str = "best.pt") -> Artifact:
    """A file from outside the record."""
    digest = digest_bytes(name.encode())
    return Artifact("external", name, digest, Media.NONE, namespace="file", origin=Origin(name, digest, 1, "training run file"))


def unknowns(outcome: GateOutcome) -> set[str]:
    return {unknown.what for unknown in outcome.unknowns}


@pytest.fixture(scope="module", name="host")
def every_plugin() -> PluginHost:
    """All installed plugins."""
    return PluginHost.load()


@pytest.fixture(name="world")
def leak_world(tmp_path: Path, host: PluginHost) -> Iterator[LeakWorld]:
    """An empty world of all plugins; a test module imports both fixtures."""
    world = LeakWorld(tmp_path / "ws", host)
    yield world
    world.record.close()
