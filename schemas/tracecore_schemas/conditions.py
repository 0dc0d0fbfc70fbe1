"""Conditions of frames (weather, region, time of day, ...), read from drive metadata and labels; a condition that is not recorded is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from tracecore_schemas.arrow_tables import last_revisions

__all__ = ["ATTRIBUTE_COLUMNS", "CONDITION_COLUMNS", "OF_OBJECTS", "attributes_of_frames", "frame_conditions"]

OF_OBJECTS = ("distance", "size")
"""Names of the conditions that describe objects; all others describe frames (weather, region, drive, ...)."""

_TAKEN = {*OF_OBJECTS, "confusion", "drive"}
"""Reserved condition names of events; a frame condition with such a name gets the prefix `frame_`."""

CONDITION_COLUMNS = ("region", "time_of_day", "conditions")
"""Columns of the frame table that hold conditions; the last overrides the others."""

ATTRIBUTE_COLUMNS = ("frame_id", "label_id", "revision", "frame_attributes")
"""Columns of the label table that `attributes_of_frames` needs."""


def attributes_of_frames(labels: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return {frame ref: {attribute: value}} from the `frame_attributes` in each label's last revision; rows need the columns `ATTRIBUTE_COLUMNS`."""
    found: dict[str, dict[str, str]] = {}
    for row in last_revisions(labels):
        if row.get("frame_attributes"):
            found.setdefault(row["frame_id"], {}).update(row["frame_attributes"])
    return found


def frame_conditions(frames: pa.Table, labels: Iterable[Mapping[str, Any]] = ()) -> dict[str, dict[str, str]]:
    """Return {frame ref: {condition: value}} (weather, region, …) from the frame table; `frame_attributes` of label rows override its values."""
    attributes = attributes_of_frames(labels)
    rows = zip(*(frames[name].to_pylist() for name in ("frame_id", *CONDITION_COLUMNS)), strict=True)
    known = {id_: {"region": region, "time_of_day": time, **dict(more or ()), **attributes.get(id_, {})} for id_, region, time, more in rows}
    return {id_: {f"frame_{name}" if name in _TAKEN else name: value for name, value in of.items() if value} for id_, of in known.items()}
