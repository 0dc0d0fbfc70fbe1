"""Mistakes of the perception, and the frames they could have been made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

import tracecore as tc
from tracecore_schemas.arrow_tables import EVENTS
from tracecore_schemas.conditions import ATTRIBUTE_COLUMNS, CONDITION_COLUMNS, frame_conditions

__all__ = ["FrameFacts", "Mistake", "condition_names", "frames_of", "join_events", "mistakes_of"]

_FRAME_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns", "width", "height"]
_CONFUSED = frozenset({"wrong_class", "wrong_state"})


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One frame of the evaluated table, without its image; its conditions are all that its drive and the labels say of it."""

    id: str
    drive: str
    sensor: str
    timestamp_ns: int
    width: int
    height: int
    conditions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One row of the events.

    Attributes:
        row: its place in the joined table.
        box: x, y, width, height in px of the recorded image.
        clarity: how clear a case it is, the greater the clearer, among mistakes of one type.
        confusion: what was taken for what (`red seen as green`), None where nothing was confused.
        conditions: of its frame and object, by dimension.
        of_object: those of them that are the object's alone.
    """

    row: int
    id: str
    type: str
    category: str
    frame_id: str
    drive: str
    box: tuple[float, float, float, float]
    clarity: float
    score: float | None
    error: float | None
    label_id: str | None
    confusion: str | None
    conditions: Mapping[str, str]
    of_object: Mapping[str, str]

    def says(self, dimension: str) -> str | None:
        """Give its value of a dimension; `confusion` is one."""
        return self.confusion if dimension == "confusion" else self.conditions.get(dimension)


def join_events(*tables: Any) -> pa.Table:
    """Give the events of several event sets as one table, ordered by frame and id; one that stands in two of them comes once.

    Args:
        tables: `pyarrow.dataset.Dataset` of the columns of EVENTS; None is left out.

    Raises:
        UsageError: a table lacks columns that every event has.
    """
    parts = []
    for table in tables:
        if table is None:
            continue
        missing = [name for name in EVENTS.names if name not in table.schema.names and not EVENTS.field(name).nullable and name != "conditions"]
        if missing:
            raise tc.UsageError(
                f"These are no events: the table has no column {', '.join(missing)}. Wire 'events' to an event_set, such as kpis.events."
            )
        known: pa.Table = table.to_table(columns=[name for name in EVENTS.names if name in table.schema.names])
        # Events of an older version lack the columns added since.
        for field in EVENTS:
            if field.name not in known.schema.names:
                nothing: list[Any] = [None if field.nullable else []] * len(known)
                known = known.append_column(field.name, pa.array(nothing, field.type))
        parts.append(known.select(EVENTS.names).cast(EVENTS))
    joined = pa.concat_tables(parts).sort_by([("frame_id", "ascending"), ("event_id", "ascending")])
    ids = joined["event_id"].to_pylist()
    return joined.take(pa.array([row for row, id_ in enumerate(ids) if row == 0 or ids[row - 1] != id_], type=pa.int64()))


def frames_of(frames: Any, labels: Any = None) -> dict[str, FrameFacts]:
    """Read what is known of every frame by ref, in order of ref.

    Args:
        frames: the frame table, a `pyarrow.dataset.Dataset`.
        labels: the label table, or None.
    """
    columns = [*_FRAME_COLUMNS, *(name for name in CONDITION_COLUMNS if name in frames.schema.names)]
    table = frames.to_table(columns=columns).sort_by("frame_id")
    has_attributes = labels is not None and "frame_attributes" in labels.schema.names
    said = labels.to_table(columns=[*ATTRIBUTE_COLUMNS]).to_pylist() if has_attributes else []
    conditions = frame_conditions(table, said)
    rows = table.select(_FRAME_COLUMNS).rename_columns(["id", *_FRAME_COLUMNS[1:]]).to_pylist()
    return {row["id"]: FrameFacts(conditions=conditions[row["id"]], **row) for row in rows}


def condition_names(frames: Mapping[str, FrameFacts]) -> frozenset[str]:
    """Return the names of all conditions that any frame has."""
    return frozenset(name for frame in frames.values() for name in frame.conditions)


def mistakes_of(events: pa.Table, frames: Mapping[str, FrameFacts]) -> list[Mistake]:
    """Read the rows of the joined table; what frames know of conditions decides, so that mistakes and chances are counted by the same."""
    names = condition_names(frames)
    return [_mistake(number, row, frames.get(row["frame_id"]), names) for number, row in enumerate(events.to_pylist())]


def _mistake(number: int, row: Mapping[str, Any], frame: FrameFacts | None, of_frames: frozenset[str]) -> Mistake:
    said = {name: value for name, value in row["conditions"] or () if value}
    of_object = {name: value for name, value in said.items() if name not in of_frames}
    conditions = {**of_object, **frame.conditions} if frame else said
    confused = row["type"] in _CONFUSED and row["expected"] and row["found"]
    return Mistake(
        number,
        row["event_id"],
        row["type"],
        row["category"],
        row["frame_id"],
        row["drive"],
        (row["x"], row["y"], row["width"], row["height"]),
        _clarity(row),
        row["score"],
        row["error"],
        row["label_id"],
        f"{row['expected']} seen as {row['found']}" if confused else None,
        dict(sorted(conditions.items())),
        dict(sorted(of_object.items())),
    )


def _clarity(row: Mapping[str, Any]) -> float:
    """A sure false alarm, a far miss of the path, a large object that nothing overlaps: there it is plainest what went wrong."""
    if row["error"] is not None:
        return float(row["error"])
    if row["score"] is not None:
        return float(row["score"])
    return float((1.0 - row["iou"]) * row["width"] * row["height"])
