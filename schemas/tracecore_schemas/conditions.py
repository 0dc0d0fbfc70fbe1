"""Conditions of frames: what the drive's metadata and the labels say of them (weather, region, time of day, ...). What nobody recorded is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from tracecore_schemas.arrow_tables import last_revisions

__all__ = ["ATTRIBUTE_COLUMNS", "CONDITION_COLUMNS", "OF_OBJECTS", "attributes_of_frames", "conditions_of", "frame_conditions"]

OF_OBJECTS = ("distance", "size")
"""Conditions that are an object's, not its frame's."""

_OLDER = ("region", "time_of_day")
_TAKEN = {*OF_OBJECTS, "confusion", "drive"}
"""Names with a meaning of their own among the conditions of a mistake; a frame's condition of such a name has `frame_` before it."""

CONDITION_COLUMNS = ("conditions", *_OLDER)
"""Columns of the frame table that hold conditions; tables of earlier versions have the last two alone."""


ATTRIBUTE_COLUMNS = ("frame_id", "label_id", "revision", "frame_attributes")
"""Columns of the label table that say what labels tell of frames."""


def conditions_of(table: pa.Table) -> list[dict[str, str]]:
    """Return what each row of a frame table says of its conditions, as far as it has the columns `CONDITION_COLUMNS`."""
    found: list[dict[str, str]] = [{} for _ in range(table.num_rows)]
    for name in _OLDER:
        if name in table.column_names:
            for row, value in zip(found, table[name].to_pylist(), strict=True):
                row.update({} if value is None else {name: value})
    if "conditions" in table.column_names:
        for row, pairs in zip(found, table["conditions"].to_pylist(), strict=True):
            row.update(pairs or ())
    return found


def attributes_of_frames(labels: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return what rows of the label table, with `ATTRIBUTE_COLUMNS`, say of frames by frame ref: each label in its last revision."""
    found: dict[str, dict[str, str]] = {}
    for row in last_revisions(labels):
        if row.get("frame_attributes"):
            found.setdefault(row["frame_id"], {}).update(row["frame_attributes"])
    return found


def frame_conditions(frames: pa.Table, labels: Iterable[Mapping[str, Any]] = ()) -> dict[str, dict[str, str]]:
    """Return all conditions of frames, by frame ref; where labels and drive differ, the labels, for they speak of the frame alone.

    Args:
        frames: a frame table with `frame_id` and those of `CONDITION_COLUMNS` that it has.
        labels: rows of the label table, with `ATTRIBUTE_COLUMNS`.
    """
    said = attributes_of_frames(labels)
    known = zip(frames["frame_id"].to_pylist(), conditions_of(frames), strict=True)
    return {id_: {_name(name): value for name, value in {**own, **said.get(id_, {})}.items() if value} for id_, own in known}


def _name(name: str) -> str:
    return f"frame_{name}" if name in _TAKEN else name
