"""The label table as rows: each label in its last revision, those that count as truth, and how far they were reviewed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore_schemas.arrow_tables import last_revisions

__all__ = ["Review", "Row", "distances_of", "read_rows", "review_of", "true_rows"]

Row = Mapping[str, Any]

_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "area", "crowd", "ignore", "image_width",
    "image_height", "cuboid", "path", "value", "track", "qa", "tier", "frame_attributes",
]  # fmt: skip
_CHANGED = {"corrected", "rejected", "added"}


@dataclass(frozen=True, slots=True)
class Review:
    """How far the labels of the evaluated frames were reviewed.

    Attributes:
        frames: how many evaluated frames are labeled.
        gold: of how many every label is of tier gold.
        unknown: of how many some label has no tier, so that nobody recorded a review.
        reviewed: labels with a verdict of the review.
        changed: of these, those that it corrected, rejected or added.
    """

    frames: int
    gold: int
    unknown: int
    reviewed: int
    changed: int

    @property
    def noise(self) -> float | None:
        """Share of reviewed labels that the review changed: how wrong labels are that were not reviewed; None without any reviewed."""
        return self.changed / self.reviewed if self.reviewed else None


def read_rows(table: Any) -> list[Row]:
    """Read the labels in order of frame and label, each in its last revision; a column that an earlier version lacks is null."""
    kept = [name for name in _COLUMNS if name in table.schema.names]
    rows: list[dict[str, Any]] = last_revisions(dict.fromkeys(_COLUMNS) | found for found in table.to_table(columns=kept).to_pylist())
    return [*rows]


def true_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that count as truth.

    A rejected label is no truth; that its frame was looked at stays known, so a box becomes a row of geometry `none`. An object that a person could
    not have labeled (`ignore`), and one of which there is an outline alone, count as a crowd does: neither found nor missed; a path or tag of
    this sort judges nothing.
    """
    return [_true(row) for row in rows if row["geometry"] == "box2d" or (row["qa"] != "rejected" and not (row["ignore"] and _of_frame(row)))]


def _true(row: Row) -> Row:
    if row["qa"] == "rejected":
        return {**row, "geometry": "none"}
    return {**row, "crowd": bool(row["crowd"] or row["ignore"] or row["geometry"] == "polygon")}


def _of_frame(row: Row) -> bool:
    return row["geometry"] in {"path", "tag"}


def review_of(rows: Sequence[Row], frames: Collection[str]) -> Review:
    """Return how far the labels of frames were reviewed.

    Args:
        rows: of the label table, each label in its last revision, rejected ones too.
        frames: refs of the evaluated frames.
    """
    tiers: dict[str, set[str | None]] = {}
    verdicts: list[str] = []
    for row in rows:
        if row["frame_id"] in frames:
            tiers.setdefault(row["frame_id"], set()).add(row["tier"])
            verdicts += [row["qa"]] if row["qa"] else []
    gold, unknown = sum(of_frame == {"gold"} for of_frame in tiers.values()), sum(None in of_frame for of_frame in tiers.values())
    return Review(len(tiers), gold, unknown, len(verdicts), sum(verdict in _CHANGED for verdict in verdicts))


def distances_of(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """Return how far objects are from the sensor or vehicle their cuboid is measured from, m, by frame ref and track."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["geometry"] == "cuboid" and row["track"] is not None and row["cuboid"]:
            found[row["frame_id"], row["track"]] = math.dist((0.0, 0.0, 0.0), row["cuboid"][:3])
    return found
