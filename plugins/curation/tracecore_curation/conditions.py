"""Conditions of frames: all that the drive's metadata and labels say of them (weather, region, time of day, ...). What nobody said is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracecore_schemas.conditions import ATTRIBUTE_COLUMNS, CONDITION_COLUMNS, frame_conditions

__all__ = ["condition_names", "read_conditions"]


def read_conditions(frames: Any, labels: Any = None) -> dict[str, dict[str, str]]:
    """Return the conditions of a dataset's frames, by ref, with what a label table says of them where there is one."""
    columns = [name for name in CONDITION_COLUMNS if name in frames.schema.names]
    said = () if labels is None else labels.to_table(columns=[*ATTRIBUTE_COLUMNS]).to_pylist()
    return frame_conditions(frames.to_table(columns=["frame_id", *columns]), said)


def condition_names(conditions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the name of every condition that any frame has, sorted."""
    return sorted({name for of_frame in conditions.values() for name in of_frame})
