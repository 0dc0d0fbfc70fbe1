"""Conditions of frames: all that the drive's metadata says of them (weather, region, time of day, ...). What nobody said is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracecore_schemas.conditions import CONDITION_COLUMNS, conditions_of

__all__ = ["CONDITION_COLUMNS", "condition_names", "conditions_of", "read_conditions"]


def read_conditions(frames: Any) -> dict[str, dict[str, str]]:
    """Return the conditions of a dataset's frames, by ref."""
    columns = [name for name in CONDITION_COLUMNS if name in frames.schema.names]
    table = frames.to_table(columns=["frame_id", *columns])
    return dict(zip(table["frame_id"].to_pylist(), conditions_of(table), strict=True))


def condition_names(conditions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the name of every condition that any frame has, sorted."""
    return sorted({name for of_frame in conditions.values() for name in of_frame})
