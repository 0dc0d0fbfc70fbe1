"""What is true of each frame, as labels: what simulated labelers look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracecore_labeling.campaign.label import GEOMETRIES, Label

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TRUTH_COLUMNS", "Truth", "truth_of"]

TRUTH_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "crowd", "ignore", "cuboid", "cuboid_frame", "path",
    "value", "track", "attributes", "frame_attributes",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Truth:
    """True labels.

    Attributes:
        labels: of each frame that something is known of, in the order of their ids; an empty list says that it holds nothing.
        frame_attributes: what the source says of each frame.
        classes: of boxes and cuboids, sorted.
        values: what tags can say, by what they speak of.
        geometries: those that occur.
    """

    labels: Mapping[str, Sequence[Label]]
    frame_attributes: Mapping[str, Mapping[str, str]]
    classes: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    geometries: tuple[str, ...]


def truth_of(table: pa.Table) -> Truth:
    """Read a label table with `TRUTH_COLUMNS`, each label in its last revision."""
    newest: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        known = newest.get(row["label_id"])
        if known is None or row["revision"] > known["revision"]:
            newest[row["label_id"]] = row
    labels: dict[str, list[Label]] = {}
    frame_attributes: dict[str, Mapping[str, str]] = {}
    for _, row in sorted(newest.items()):
        of_frame = labels.setdefault(row["frame_id"], [])
        frame_attributes.setdefault(row["frame_id"], dict(row["frame_attributes"]))
        if row["geometry"] in GEOMETRIES:
            of_frame.append(_label(row))
    everything = [label for of_frame in labels.values() for label in of_frame]
    said: dict[str, set[str]] = {}
    for label in everything:
        if label.geometry == "tag":
            said.setdefault(label.category or "", set()).add(label.value or "")
    return Truth(
        labels=labels,
        frame_attributes={frame: found for frame, found in frame_attributes.items() if found},
        classes=tuple(sorted({label.category for label in everything if label.category and label.geometry in {"box2d", "cuboid"}})),
        values={about: tuple(sorted(values)) for about, values in sorted(said.items())},
        geometries=tuple(geometry for geometry in GEOMETRIES if any(label.geometry == geometry for label in everything)),
    )


def _label(row: Mapping[str, Any]) -> Label:
    return Label(
        geometry=row["geometry"],
        category=row["category"],
        box=None if row["x"] is None else (row["x"], row["y"], row["width"], row["height"]),
        cuboid=None if row["cuboid"] is None else tuple(row["cuboid"]),
        cuboid_frame=row["cuboid_frame"],
        path=None if row["path"] is None else tuple(row["path"]),
        value=row["value"],
        track=row["track"],
        crowd=row["crowd"],
        ignore=row["ignore"],
        attributes=tuple(sorted(row["attributes"])),
    )
