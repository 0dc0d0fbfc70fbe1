"""Label batches prepared for export: each label in its last revision, grouped by frame."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tracecore.errors import UsageError, suggestion
from tracecore_schemas.arrow_tables import last_revisions

__all__ = ["CLOCK", "PROVENANCE_COLUMNS", "VALUES", "VEHICLE", "ExportResult", "LabeledFrame", "classes_of", "labeled_frames"]

PROVENANCE_COLUMNS = ("labeler", "labeled_at", "tool", "guideline", "qa", "task", "reviewer", "reviewed_at", "tier", "proposed_by")
"""Columns of a label's provenance."""

VALUES = (*PROVENANCE_COLUMNS, "area", "polygon", "crowd", "ignore", "score", "track", "attributes")
"""Columns besides the geometry that a format may support."""

CLOCK = 10**15
"""Least log time, ns, that is a time; smaller values (times before 1970-01-12) are numbers of frames or files."""

VEHICLE = "vehicle"
"""Name of the vehicle's coordinate frame."""

_NEEDED = {"drive", "sensor", "timestamp_ns", "frame_id", "label_id", "revision", "geometry"}


@dataclass(frozen=True, slots=True)
class LabeledFrame:
    """One frame, the size of its image in px (0 without one) and its labels.

    Attributes:
        labels: rows of the label table except geometry `none`, sorted by id.
        empty: whether the batch states that the frame has no object.
    """

    drive: str
    sensor: str
    timestamp_ns: int
    width: int
    height: int
    attributes: Mapping[str, str]
    labels: tuple[Mapping[str, Any], ...]
    empty: bool


@dataclass(slots=True)
class ExportResult:
    """Counts of an export: files, labels, and by name the labels (`left_out`) and values (`lost`) that the format does not support."""

    files: int = 0
    labels: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def count(self, label: Mapping[str, Any], *carried: str) -> None:
        """Count a label as written, and each of its values in the columns `VALUES` as lost unless `carried` lists the column."""
        self.labels += 1
        is_box_area = label.get("width") is not None and math.isclose(label.get("area") or 0.0, label["width"] * label["height"])
        for name in VALUES:
            if label.get(name) and name not in carried and not (name == "area" and is_box_area):
                self.lose(name)

    def lose(self, what: str) -> None:
        """Count one value, of the kind `what`, that a written label has but the export format does not support."""
        self.lost[what] = self.lost.get(what, 0) + 1

    def leave_out(self, what: str) -> None:
        """Count one label, of the kind `what`, that is not written because the export format does not support it."""
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def supported(self, frame: LabeledFrame, geometries: Collection[str]) -> list[Mapping[str, Any]]:
        """Return a frame's labels that have one of `geometries`, and count its other labels as left out of the export."""
        for label in frame.labels:
            if label["geometry"] not in geometries:
                self.leave_out(label["geometry"])
        return [label for label in frame.labels if label["geometry"] in geometries]


def labeled_frames(table: pa.Table) -> list[LabeledFrame]:
    """Return a label table's frames with their labels, sorted by drive, time and sensor. Raises UsageError if the table lacks columns of labels."""
    missing = sorted(_NEEDED - set(table.schema.names))
    if missing:
        raise UsageError(f"This is not a label batch: it has no column '{missing[0]}'. {suggestion('label_batch', ['label_batch'])}")
    by_frame: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in last_revisions(table.to_pylist()):
        by_frame.setdefault((row["drive"], row["timestamp_ns"], row["sensor"]), []).append(row)
    return [_frame(rows) for _, rows in sorted(by_frame.items())]


def classes_of(frames: Iterable[LabeledFrame], geometries: Collection[str]) -> list[str]:
    """Return the sorted class names of labels with these geometries; `["object"]` if there are none, since a file of empty images needs a class."""
    found = {label["category"] for frame in frames for label in frame.labels if label["geometry"] in geometries}
    return sorted(found) or ["object"]


def _frame(rows: list[Mapping[str, Any]]) -> LabeledFrame:
    first = rows[0]
    labels = sorted((row for row in rows if row["geometry"] != "none"), key=lambda row: str(row["label_id"]))
    return LabeledFrame(
        first["drive"],
        first["sensor"],
        first["timestamp_ns"],
        first["image_width"],
        first["image_height"],
        dict(first["frame_attributes"]),
        tuple(labels),
        len(labels) < len(rows),
    )
