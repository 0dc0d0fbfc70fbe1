"""Frames with their layers: labels, detections, and LiDAR sweeps and calibrations of the same moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracecore.errors import TracecoreError
from tracecore.geometry import Camera, Rig
from tracecore.store import open_store
from tracecore.workspace import Workspace
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.show import show, stored_version
from tracecore_schemas.arrow_tables import POINTS_DTYPE, last_revisions
from tracecore_schemas.run import Artifact

__all__ = ["Layers", "RelatedTables", "Table", "TableKind", "View", "read_views", "spread", "table_kind"]


class TableKind(StrEnum):
    """Kinds of tables that can be drawn, or drawn over frames."""

    FRAMES = "frames"
    LABELS = "labels"
    DETECTIONS = "detections"
    EVENTS = "events"
    SWEEPS = "sweeps"
    CALIBRATIONS = "calibrations"


_COLUMNS = {
    TableKind.FRAMES: {"frame_id", "drive", "sensor", "timestamp_ns", "image"},
    TableKind.EVENTS: {"frame_id", "event_id", "type", "category", "x", "y", "width", "height"},
    TableKind.LABELS: {"frame_id", "label_id", "geometry", "category"},
    TableKind.DETECTIONS: {"frame_id", "number", "geometry", "score"},
    TableKind.SWEEPS: {"sweep_id", "drive", "timestamp_ns", "data"},
    TableKind.CALIBRATIONS: {"drive", "sensor", "projection", "to_vehicle"},
}


def table_kind(table: Any) -> TableKind | None:
    """Return the kind of a table (`pyarrow.dataset.Dataset`), such as frames or labels, by its columns; None if it can't be drawn."""
    names = set(table.schema.names)
    return next((kind for kind, columns in _COLUMNS.items() if columns <= names), None)


_DEEPEST = 12  # runs between a curated set and its ingest


@dataclass(frozen=True, slots=True)
class Table:
    """An open `pyarrow.dataset.Dataset` with its ref and kind."""

    ref: str
    kind: TableKind | None
    data: Any


class RelatedTables:
    """Finder of the tables related to a version through the record; tables and pages are cached."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace = workspace
        self.database = database
        self.store = open_store(workspace)
        self._pages: dict[str, Any] = {}
        self._opened: dict[str, Table | None] = {}

    def artifact(self, ref: str) -> Artifact:
        """Return the artifact (stored version) of a ref, the newest if it names no version. Raises UsageError if there is none in the store."""
        return self.database.query(stored_version, ref, LedgerName.of(self.workspace))

    def table(self, ref: str) -> Table | None:
        """Open the table that a versioned ref names; None if it is not a table, is unknown, or its bytes are missing."""
        if ref not in self._opened:
            try:
                opened = self.store.open(self.artifact(ref))
            except TracecoreError:  # reported by `doctor`
                opened = None
            is_table = opened is not None and hasattr(opened, "schema")
            self._opened[ref] = Table(ref, table_kind(opened), opened) if is_table else None
        return self._opened[ref]

    def readers(self, ref: str) -> list[str]:
        """Return the ids of the completed runs that read the version `ref`, newest first."""
        return self._runs(ref, "read_by")

    def makers(self, ref: str) -> list[str]:
        """Return the ids of the completed runs that made the version `ref`, newest first."""
        return self._runs(ref, "made_by")

    def tables(self, run: str, side: str, kind: TableKind) -> Iterator[Table]:
        """Yield tables of a kind among the `inputs` or `outputs` (`side`) of a run, except rejected ones (a blocking check failed)."""
        for link in self.page(f"run/{run}")[side]:
            if not link["ref"].startswith(("dataset/", "label_batch/", "event_set/")):
                continue
            table = self.table(link["ref"])
            if table is not None and table.kind is kind and not self.page(table.ref)["rejected"]:
                yield table

    def sources(self, frames: Table) -> list[Table]:
        """Return a frames table, then the frames table that it was selected from, and so on back to the one that an ingest made."""
        found = [frames]
        for _ in range(_DEEPEST):
            parents = [table for run in self.makers(found[-1].ref) for table in self.tables(run, "inputs", TableKind.FRAMES)]
            new = [table for table in parents if all(table.ref != each.ref for each in found)]
            if not new:
                break
            found.append(new[0])
        return found

    def labels_of(self, frames: Table) -> Iterator[Table]:
        """Yield tables that may label `frames`: those that runs used with this table or a source of its rows, then a simulation's ground truth."""
        sources = self.sources(frames)
        yield from self._used_together(sources, TableKind.LABELS)
        # Last the ground truth of a simulation, made together with the drives.
        for run in self.makers(sources[-1].ref):
            for log in self._drive_logs(run, "inputs"):
                for maker in self.makers(log):
                    yield from self.tables(maker, "outputs", TableKind.LABELS)

    def detections_of(self, frames: Table) -> Iterator[Table]:
        """Yield, each once, the detection tables among the outputs and inputs of completed runs that read this frames table."""
        yield from self._used_together([frames], TableKind.DETECTIONS)

    def recorded_with(self, frames: Table, kind: TableKind) -> Iterator[Table]:
        """Yield the tables of a kind, such as LiDAR sweeps, among the outputs of the ingest run that made these frames."""
        for run in self.makers(self.sources(frames)[-1].ref):
            yield from self.tables(run, "outputs", kind)

    def frames_of(self, table: Table) -> Iterator[Table]:
        """Yield frames tables to which the rows of `table` (such as labels) may refer, found through the runs that made or read it."""
        for run in (*self.makers(table.ref), *self.readers(table.ref)):
            yield from self.tables(run, "inputs", TableKind.FRAMES)
            yield from self.tables(run, "outputs", TableKind.FRAMES)
        # The ground truth of a simulation covers the frames that an ingest made from its drives.
        for run in self.makers(table.ref):
            for log in self._drive_logs(run, "outputs"):
                for reader in self.readers(log):
                    yield from self.tables(reader, "outputs", TableKind.FRAMES)

    def used_with(self, table: Table, kind: TableKind) -> Iterator[Table]:
        """Yield the tables of a kind among the outputs, then the inputs, of the completed runs that made `table`."""
        for run in self.makers(table.ref):
            yield from self.tables(run, "outputs", kind)
            yield from self.tables(run, "inputs", kind)

    def _drive_logs(self, run: str, side: str) -> list[str]:
        return [link["ref"] for link in self.page(f"run/{run}")[side] if link["ref"].startswith("drive_log/")]

    def _used_together(self, tables: list[Table], kind: TableKind) -> Iterator[Table]:
        given: set[str] = set()
        for table in tables:
            for run in self.readers(table.ref):
                for found in (*self.tables(run, "outputs", kind), *self.tables(run, "inputs", kind)):
                    if found.ref not in given:
                        given.add(found.ref)
                        yield found

    def _runs(self, ref: str, side: str) -> list[str]:
        uses = [use for use in self.page(ref)[side] if use["state"] == "COMPLETE"]
        return list(dict.fromkeys(use["run"] for use in sorted(uses, key=lambda use: (use["at"], use["run"]), reverse=True)))

    def page(self, ref: str) -> Any:
        """Return the answer of `tracecore show` for a ref (everything recorded about it), cached."""
        if ref not in self._pages:
            self._pages[ref] = self.database.query(show, ref, workspace=self.workspace)
        return self._pages[ref]


Floats = NDArray[np.float64]
_SAME_MOMENT_NS = 150_000_000  # a LiDAR turns ten times a second: the nearest sweep is within this
_LEFT_OUT = {"image", "data"}


@dataclass(frozen=True, slots=True)
class Layers:
    """Tables to draw over frames, as `pyarrow.dataset.Dataset`; boxes detected with less than `score` are left out."""

    labels: Any = None
    detections: Any = None
    events: Any = None
    sweeps: Any = None
    rig: Rig | None = None
    score: float = 0.3


@dataclass(frozen=True, slots=True)
class View:
    """One frame with its layers.

    Attributes:
        row: row of the frames table, image included.
        labels: last revisions of its labels, without rejected ones.
        seen: its detections.
        camera: None without a calibration.
        points: nearest LiDAR sweep in the vehicle frame, (n, 4): x, y, z in m and intensity; None without one.
    """

    row: Mapping[str, Any]
    labels: tuple[Mapping[str, Any], ...]
    seen: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    camera: Camera | None
    points: Floats | None
    rig: Rig


def spread(rows: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` of the rows, evenly spaced and in order."""
    if not rows:
        return []
    places = np.unique(np.linspace(0, len(rows) - 1, num=min(count, len(rows))).round().astype(int))
    return [rows[place] for place in places.tolist()]


def read_views(frames: Any, ids: Collection[str], layers: Layers) -> list[View]:
    """Read the frames with these ids, each with its labels, detections, sweep and so on from `layers`; ordered by drive, sensor and time."""
    rows = _rows(frames, ids, without=())
    rows.sort(key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"]))
    labels, seen, events = (_by_frame(_rows(table, ids)) for table in (layers.labels, layers.detections, layers.events))
    rig = layers.rig or Rig()
    return [
        View(
            row,
            tuple(each for each in last_revisions(labels.get(row["frame_id"], [])) if each.get("qa") != "rejected"),
            tuple(each for each in seen.get(row["frame_id"], []) if each["geometry"] != "box2d" or (each["score"] or 0) >= layers.score),
            tuple(events.get(row["frame_id"], [])),
            rig.camera(row["drive"], row["sensor"], row["timestamp_ns"]),
            _points(layers.sweeps, row, rig),
            rig,
        )
        for row in rows
    ]


def _rows(table: Any, ids: Collection[str], without: Collection[str] = _LEFT_OUT) -> list[dict[str, Any]]:
    if table is None:
        return []
    wanted = pc.field("frame_id").isin(pa.array(sorted(ids), type=pa.string()))
    found: list[dict[str, Any]] = table.to_table(columns=[name for name in table.schema.names if name not in without], filter=wanted).to_pylist()
    return found


def _by_frame(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["frame_id"], []).append(row)
    return found


def _points(sweeps: Any, row: Mapping[str, Any], rig: Rig) -> Floats | None:
    if sweeps is None:
        return None
    time = row["timestamp_ns"]
    near = pc.field("drive") == row["drive"]
    near &= (pc.field("timestamp_ns") >= time - _SAME_MOMENT_NS) & (pc.field("timestamp_ns") <= time + _SAME_MOMENT_NS)
    found = sweeps.to_table(columns=["sensor", "timestamp_ns", "data"], filter=near).to_pylist()
    placed = [(each, matrix) for each in found if (matrix := rig.to_vehicle(row["drive"], each["sensor"], time)) is not None]
    if not placed:
        return None
    sweep, matrix = min(placed, key=lambda each: (abs(each[0]["timestamp_ns"] - time), each[0]["sensor"]))
    points = np.frombuffer(sweep["data"], dtype=np.dtype(POINTS_DTYPE))
    own = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)
    return np.column_stack([own @ matrix[:3, :3].T + matrix[:3, 3], points["intensity"].astype(np.float64)])
