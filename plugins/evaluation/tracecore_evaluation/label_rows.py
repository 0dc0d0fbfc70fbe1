"""The label table as rows: each label in its last revision, and those that a review rejected left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tracecore_schemas.rows import last_revisions

__all__ = ["Row", "attributes_of", "distances_of", "read_rows"]

Row = Mapping[str, Any]

_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "area", "crowd", "image_width", "image_height",
    "cuboid", "path", "value", "track", "qa",
]  # fmt: skip


def read_rows(table: Any, *, attributes: bool = False) -> list[Row]:
    """Read the labels in order of frame and label.

    A rejected label is no truth; that its frame was looked at stays known, so it becomes a row of geometry `none`.

    Args:
        table: the label table.
        attributes: whether what the labels say of frames is read too.
    """
    wanted = _COLUMNS + (["frame_attributes"] if attributes else [])
    # Tables of before there were cuboids, paths and tracks have no columns for them.
    kept = [name for name in wanted if name in table.schema.names]
    rows: list[dict[str, Any]] = last_revisions(dict.fromkeys(wanted) | found for found in table.to_table(columns=kept).to_pylist())
    return [row | {"geometry": "none"} if row["qa"] == "rejected" and row["geometry"] == "box2d" else row for row in rows if _counts(row)]


def _counts(row: Row) -> bool:
    return bool(row["qa"] != "rejected" or row["geometry"] == "box2d")


def attributes_of(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Give what the labels say of frames, by frame ref."""
    return {row["frame_id"]: dict(row["frame_attributes"]) for row in rows if row.get("frame_attributes")}


def distances_of(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """Give how far objects are from the sensor or vehicle their cuboid is measured from, m, by frame ref and track."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["geometry"] == "cuboid" and row["track"] is not None and row["cuboid"]:
            found[row["frame_id"], row["track"]] = math.dist((0.0, 0.0, 0.0), row["cuboid"][:3])
    return found
