"""Selection of what `look` draws for a ref: frames with layers, or existing pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracecore.errors import UsageError, suggestion
from tracecore.geometry import Rig
from tracecore.workspace import Workspace
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.present.frame_layers import Layers, RelatedTables, Table, TableKind, View, read_views, spread
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import RefError, parse_ref

__all__ = ["Scene", "find_scene"]


@dataclass(frozen=True, slots=True)
class Scene:
    """Content to draw: `views`, or existing picture files; `labels` and `detections` are the refs of the drawn tables."""

    ref: str
    views: Sequence[View] = ()
    labels: str | None = None
    detections: str | None = None
    pictures: Sequence[Path] = field(default=())


def find_scene(workspace: Workspace, database: Database, text: str, *, count: int, drive: str | None = None, labels: str | None = None) -> Scene:
    """Return what to draw for a ref: at most `count` frames (only of `drive` if given) with labels from batch `labels`, else from a related batch.

    Raises UsageError for an unknown ref or drive, `labels` of another kind, or nothing to draw.
    """
    try:
        kind = parse_ref(text).kind
    except RefError as error:
        raise UsageError(str(error)) from error
    related = RelatedTables(workspace, database)
    if kind == "frame":
        return _frame(related, text, labels)
    if kind in {"build", "run", "label", "labeler", "bug", "plugin", "vehicle", "program", "external"}:
        raise UsageError(
            f"{text} has nothing to look at: 'tracecore look' takes a dataset, a label batch, an event set, a drive log, a frame, or a report, "
            f"request or model that holds pictures; 'tracecore trace {text}' names what there is."
        )
    artifact = related.artifact(text)
    if kind == "drive_log":
        found = _of_drive(related, artifact.ref)
        known = set(pc.unique(found.data.to_table(columns=["drive"])["drive"]).to_pylist())
        # A single log shows its own drive; a folder of logs all drives.
        own = parse_ref(artifact.ref).segments[0]
        return _scene(related, artifact.ref, found, count, drive or (own if own in known else None), labels)
    opened: Any = related.store.open(artifact)
    if artifact.media is not Media.DELTA:
        pictures = sorted(Path(opened).rglob("*.png")) if Path(opened).is_dir() else []
        if not pictures:
            raise UsageError(f"{artifact.ref} has nothing to look at: it has no pictures.")
        return Scene(artifact.ref, pictures=pictures)
    table = related.table(artifact.ref)
    if table is None or table.kind is None:
        raise UsageError(f"{artifact.ref} has nothing to look at: its columns are {', '.join(opened.schema.names)}, none of which can be drawn.")
    if table.kind is TableKind.FRAMES:
        return _scene(related, artifact.ref, table, count, drive, labels)
    return _scene(related, artifact.ref, _frames_for(related, table), count, drive, labels, of=table)


def _scene(related: RelatedTables, ref: str, frames: Table, count: int, drive: str | None, labels: str | None, *, of: Table | None = None) -> Scene:
    """Return at most `count` evenly spaced frames to draw: only of `drive` if given, and only with rows in `of` (such as labels) if given."""
    index = frames.data.to_table(columns=["frame_id", "drive", "sensor", "timestamp_ns"]).to_pylist()
    index.sort(key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"]))
    if of is not None and "frame_id" in of.data.schema.names:
        covered = set(pc.unique(of.data.to_table(columns=["frame_id"])["frame_id"]).to_pylist())
        index = [row for row in index if row["frame_id"] in covered]
    if not index:
        raise UsageError(f"{ref} has nothing to look at: it has no frames.")
    if drive is not None:
        known = {row["drive"] for row in index}
        if drive not in known:
            raise UsageError(f"No frame of {ref} is of the drive '{drive}'. {suggestion(drive, known)}")
        index = [row for row in index if row["drive"] == drive]
    ids = [row["frame_id"] for row in spread(index, count)]
    return _with_layers(related, ref, frames, ids, labels, of)


def _with_layers(related: RelatedTables, ref: str, frames: Table, ids: Sequence[str], labels: str | None, of: Table | None = None) -> Scene:
    drives = [parse_ref(id_).segments[0] for id_ in ids]
    kinds = {} if of is None else {of.kind: of}
    drawn = _given_labels(related, labels) if labels else kinds.get(TableKind.LABELS) or _covering(ids, _labels_for(related, frames, of))
    seen = kinds.get(TableKind.DETECTIONS) or _covering(ids, _detections_for(related, frames, of))
    calibrations = next(iter(related.recorded_with(frames, TableKind.CALIBRATIONS)), None)
    sweeps = next(iter(related.recorded_with(frames, TableKind.SWEEPS)), None)
    layers = Layers(
        labels=drawn and drawn.data,
        detections=seen and seen.data,
        events=of.data if of is not None and of.kind is TableKind.EVENTS else None,
        sweeps=sweeps.data if sweeps is not None and len(ids) == 1 else None,
        rig=Rig.read(calibrations and calibrations.data, drives),
    )
    return Scene(ref, read_views(frames.data, ids, layers), None if drawn is None else drawn.ref, None if seen is None else seen.ref)


def _labels_for(related: RelatedTables, frames: Table, of: Table | None) -> Iterable[Table]:
    if of is not None:  # the labels used to make the table come first
        yield from related.used_with(of, TableKind.LABELS)
    yield from related.labels_of(frames)


def _detections_for(related: RelatedTables, frames: Table, of: Table | None) -> Iterable[Table]:
    if of is not None:
        yield from related.used_with(of, TableKind.DETECTIONS)
    if of is None or of.kind is not TableKind.LABELS:
        yield from related.detections_of(frames)


def _frame(related: RelatedTables, text: str, labels: str | None) -> Scene:
    answer = related.page(text)
    held = [table for each in answer["held_by"] if (table := related.table(each["ref"])) is not None]
    holding = [table for table in held if table.kind is TableKind.FRAMES]
    if not holding:
        raise UsageError(f"{text} has nothing to look at: the tables that name it have no picture of it.")
    # Prefer the table with detections of this frame.
    best = next((table for table in holding if _covering([answer["ref"]], related.detections_of(table))), holding[0])
    return _with_layers(related, answer["ref"], best, [answer["ref"]], labels)


def _covering(ids: Sequence[str], tables: Iterable[Table]) -> Table | None:
    """Return the first table with a row for one of these frame ids; None if there is none."""
    wanted = pc.field("frame_id").isin(pa.array(sorted(ids), type=pa.string()))
    return next((table for table in tables if table.data.count_rows(filter=wanted)), None)


def _given_labels(related: RelatedTables, ref: str) -> Table:
    whole_ref = related.artifact(ref).ref
    table = related.table(whole_ref)
    if table is None or table.kind is not TableKind.LABELS:
        raise UsageError(f"--labels expects a label batch; {whole_ref} is not one.")
    return table


def _frames_for(related: RelatedTables, table: Table) -> Table:
    """Return the frames table with most of the frames that `table` names; for sweeps and calibrations, the first related one. UsageError if none."""
    if table.kind in {TableKind.SWEEPS, TableKind.CALIBRATIONS}:
        found = next(iter(related.frames_of(table)), None)
    else:
        ids = set(pc.unique(table.data.to_table(columns=["frame_id"])["frame_id"]).to_pylist())
        wanted = pc.field("frame_id").isin(pa.array(sorted(ids), type=pa.string()))
        counts = {each.ref: (each.data.count_rows(filter=wanted), each) for each in related.frames_of(table)}
        found = max(counts.values(), key=lambda pair: pair[0])[1] if counts and max(pair[0] for pair in counts.values()) else None
    if found is None:
        raise UsageError(f"{table.ref} has nothing to look at: no recorded run connects it to frames.")
    return found


def _of_drive(related: RelatedTables, ref: str) -> Table:
    for run in related.readers(ref):
        for table in related.tables(run, "outputs", TableKind.FRAMES):
            return table
    raise UsageError(f"{ref} has nothing to look at: no recorded run made frames of it.")
