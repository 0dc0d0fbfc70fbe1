"""Mistakes of the perception, and the frames they could have been made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

import tracecore as tc
from tracecore_schemas.tables import EVENTS

__all__ = ["FRAME_DIMENSIONS", "FrameFacts", "Mistake", "frames_of", "join_events", "mistakes_of"]

FRAME_DIMENSIONS = ("time_of_day", "region")
"""Conditions that are the frame's, not the object's: the frame table tells them of every frame, mistaken on or not."""

_CONFUSED = frozenset({"wrong_class", "wrong_state"})


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One frame of the evaluated table, without its image."""

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
        conditions: slices of its frame and object, by dimension.
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

    def says(self, dimension: str) -> str | None:
        """Give its value of a dimension; `confusion` is one."""
        return self.confusion if dimension == "confusion" else self.conditions.get(dimension)


def join_events(*tables: Any) -> pa.Table:
    """Give the events of several event sets as one table, ordered by frame and id; one that stands in two of them comes once.

    Args:
        tables: `pyarrow.dataset.Dataset` of the columns of EVENTS; None is left out.

    Raises:
        UsageProblem: a table lacks columns that every event has.
    """
    parts = []
    for table in tables:
        if table is None:
            continue
        missing = [name for name in EVENTS.names if name not in table.schema.names and not EVENTS.field(name).nullable and name != "conditions"]
        if missing:
            raise tc.UsageProblem(
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


def frames_of(frames: Any) -> dict[str, FrameFacts]:
    """Read what is known of every frame by ref, in order of ref."""
    columns = ["frame_id", "drive", "sensor", "timestamp_ns", "width", "height", *FRAME_DIMENSIONS]
    rows = frames.to_table(columns=columns).sort_by("frame_id").to_pylist()
    return {
        row["frame_id"]: FrameFacts(
            row["frame_id"],
            row["drive"],
            row["sensor"],
            row["timestamp_ns"],
            row["width"],
            row["height"],
            {name: row[name] for name in FRAME_DIMENSIONS if row[name]},
        )
        for row in rows
    }


def mistakes_of(events: pa.Table, frames: Mapping[str, FrameFacts]) -> list[Mistake]:
    """Read the rows of the joined table; what an event does not say of its frame's conditions, the frame table says."""
    return [_mistake(number, row, frames.get(row["frame_id"])) for number, row in enumerate(events.to_pylist())]


def _mistake(number: int, row: Mapping[str, Any], frame: FrameFacts | None) -> Mistake:
    conditions = {**(frame.conditions if frame else {}), **dict(row["conditions"] or ())}
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
        {name: value for name, value in sorted(conditions.items()) if value},
    )


def _clarity(row: Mapping[str, Any]) -> float:
    """A sure false alarm, a far miss of the path, a large object that nothing overlaps: there it is plainest what went wrong."""
    if row["error"] is not None:
        return float(row["error"])
    if row["score"] is not None:
        return float(row["score"])
    return float((1.0 - row["iou"]) * row["width"] * row["height"])
