"""Conditions of frames: all that the drive's metadata says of them (weather, region, time of day, ...). What nobody said is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

__all__ = ["CONDITION_COLUMNS", "condition_names", "conditions_of", "read_conditions"]

_OLDER = ("region", "time_of_day")
"""Conditions that have a column of their own too."""

CONDITION_COLUMNS = ("conditions", *_OLDER)


def conditions_of(table: pa.Table) -> list[dict[str, str]]:
    """Return the conditions of each row of a frame table that was read with `CONDITION_COLUMNS`, as far as it has them."""
    found: list[dict[str, str]] = [{} for _ in range(table.num_rows)]
    for name in _OLDER:
        if name in table.column_names:
            for row, value in zip(found, table[name].to_pylist(), strict=True):
                if value is not None:
                    row[name] = value
    if "conditions" in table.column_names:
        for row, pairs in zip(found, table["conditions"].to_pylist(), strict=True):
            row.update(pairs or ())
    return found


def read_conditions(frames: Any) -> dict[str, dict[str, str]]:
    """Return the conditions of a dataset's frames, by ref."""
    columns = [name for name in CONDITION_COLUMNS if name in frames.schema.names]
    table = frames.to_table(columns=["frame_id", *columns])
    return dict(zip(table["frame_id"].to_pylist(), conditions_of(table), strict=True))


def condition_names(conditions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the name of every condition that any frame has, sorted."""
    return sorted({name for of_frame in conditions.values() for name in of_frame})
