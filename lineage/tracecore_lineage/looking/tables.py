"""What a stored table is, told by its columns."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

__all__ = ["TableKind", "table_kind"]


class TableKind(StrEnum):
    """Tables that have something to look at."""

    FRAMES = "frames"
    LABELS = "labels"
    DETECTIONS = "detections"
    EVENTS = "events"
    SWEEPS = "sweeps"
    CALIBRATIONS = "calibrations"


_TOLD_BY = {
    TableKind.FRAMES: {"frame_id", "drive", "sensor", "timestamp_ns", "image"},
    TableKind.EVENTS: {"frame_id", "event_id", "type", "category", "x", "y", "width", "height"},
    TableKind.LABELS: {"frame_id", "label_id", "geometry", "category"},
    TableKind.DETECTIONS: {"frame_id", "number", "geometry", "score"},
    TableKind.SWEEPS: {"sweep_id", "drive", "timestamp_ns", "data"},
    TableKind.CALIBRATIONS: {"drive", "sensor", "projection", "to_vehicle"},
}


def table_kind(table: Any) -> TableKind | None:
    """Give what a `pyarrow.dataset.Dataset` holds, None where there is nothing to look at in it."""
    names = set(table.schema.names)
    return next((kind for kind, columns in _TOLD_BY.items() if columns <= names), None)
