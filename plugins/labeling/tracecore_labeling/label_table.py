"""Labels, and the label table of all label stages: its rows, its facet `tracecore_labels`, and unknown provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from tracecore_labeling.linking import RecordedFrame
from tracecore_labeling.provenance import NOTHING_KNOWN, Provenance
from tracecore_schemas.canonical import JSON, digest_json, hex_of
from tracecore_schemas.kinds import LIGHT_STATE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Box", "FoundLabel", "Ring", "Row", "label_id", "label_table", "labels_facet", "unknown_provenance"]


Box = tuple[float, float, float, float]
Ring = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """One label; its geometry (box2d, polygon, cuboid, path or tag) determines which fields are set. Units are px and m.

    Attributes:
        id: in a `LabelFile`, the label's stable id within the file; in a `Row`, its id in the label table, see `label_id`.
        box: x, y, width, height; for a polygon the box around it.
        area: area of the object, px^2.
        polygon: rings, each of alternating x and y.
        crowd: whether a box covers many objects or a region that was not labeled.
        ignore: whether evaluation counts it neither as an error to detect nor to miss.
        score: confidence of a label proposed by a model, 0 to 1.
        cuboid: ten numbers as in OpenLABEL.
        cuboid_frame: coordinate frame of the cuboid; None for that of its camera.
        path: alternating x (ahead) and y (left).
        tier: working or gold.
    """

    id: str
    geometry: str = "box2d"
    category: str | None = None
    box: Box | None = None
    area: float | None = None
    polygon: tuple[Ring, ...] | None = None
    crowd: bool = False
    ignore: bool = False
    score: float | None = None
    cuboid: tuple[float, ...] | None = None
    cuboid_frame: str | None = None
    path: tuple[float, ...] | None = None
    value: str | None = None
    track: str | None = None
    provenance: Provenance = NOTHING_KNOWN
    attributes: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    reviewer: str | None = None
    reviewed_at: str | None = None
    tier: str | None = None
    proposed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the label table (`tracecore_schemas.arrow_tables.LABELS`): a label, or by geometry `none` that the frame has no object."""

    frame: RecordedFrame
    label: FoundLabel
    revision: int = 0
    refusals: int | None = None
    frame_attributes: Mapping[str, str] = field(default_factory=dict)


def label_id(source: str, place: str | int) -> str:
    """Return a label's id: the first 32 hex digits of the SHA-256 of JCS [source, place].

    Args:
        source: digest of the label file, `sha256:<hex>`, or task id of a campaign.
        place: label id in the file (`image:<id>` for an image without objects), or ordinal in the task.
    """
    return hex_of(digest_json([source, place]))[:32]


def label_table(rows: Iterable[Row]) -> pa.Table:
    """Return rows as an Arrow table with the columns of labels, sorted by frame and label id, so that equal labels yield equal bytes."""
    from tracecore_schemas.arrow_tables import LABELS, table_of  # imports pyarrow, which `tracecore --help` does without

    def columns(row: Row) -> dict[str, Any]:
        parts = (row.frame, row.label, row.label.provenance, row)
        found = {each.name: getattr(part, each.name) for part in parts for each in fields(part)}
        found |= {"label_id": row.label.id, "image_width": row.frame.width, "image_height": row.frame.height}
        found |= zip(("x", "y", "width", "height"), row.label.box or (None,) * 4, strict=True)
        return {column.name: found[column.name] for column in LABELS.columns}

    ordered = sorted(rows, key=lambda row: (row.frame.drive, row.frame.timestamp_ns, row.frame.sensor, row.label.id))
    return table_of(LABELS, map(columns, ordered))


_MAKING = (("labeler", "labeler"), ("labeling tool", "tool"), ("guideline version", "guideline"), ("labeling time", "labeled_at"))
_COUNTED = {"boxes": "box2d", "cuboids": "cuboid", "polygons": "polygon", "paths": "path", "tags": "tag", "empty_frames": "none"}


def labels_facet(rows: Sequence[Row]) -> dict[str, JSON]:
    """Return the facet `tracecore_labels` of a label table: counts by geometry and class, labelers, tools and guidelines."""
    geometries = Counter(row.label.geometry for row in rows)
    labels = [row.label for row in rows if row.label.geometry != "none"]
    boxes = [label for label in labels if label.geometry == "box2d"]
    lights = Counter(label.value or "" for label in labels if label.geometry == "tag" and label.category == LIGHT_STATE)
    reviewed = sum(label.provenance.qa is not None for label in labels)

    def distinct(column: str) -> list[JSON]:
        return sorted({value for label in labels if (value := getattr(label.provenance, column)) is not None})

    return {
        **{name: geometries[geometry] for name, geometry in _COUNTED.items()},
        "ignored": sum(box.ignore for box in boxes),
        "frames": len({row.frame.frame_id for row in rows}),
        "gold_frames": len({row.frame.frame_id for row in rows if row.label.tier == "gold"}),
        "categories": dict(sorted(Counter(box.category or "" for box in boxes).items())),
        "light_states": dict(sorted(lights.items())),
        "tracks": len({(row.frame.drive, row.label.track) for row in rows if row.label.track is not None}),
        "labelers": distinct("labeler"),
        "tools": distinct("tool"),
        "guidelines": distinct("guideline"),
        "reviewed_share": reviewed / len(labels) if reviewed else None,
    }


def unknown_provenance(rows: Sequence[Row], sources: str, *, names_left_out: int) -> Iterator[tuple[str, str]]:
    """Yield (what is not known, why) for each provenance column, such as labeler or tool, that is empty for some labels.

    `sources`: names of the label files; `names_left_out`: number of labels whose labeler is a name instead of a pseudonym, and so left out.
    """
    labels = [row.label for row in rows if row.label.geometry != "none"]
    noun = "boxes" if all(label.geometry == "box2d" for label in labels) else "labels"
    for what, column in _MAKING:
        missing = sum(getattr(label.provenance, column) is None for label in labels)
        if not missing:
            continue
        why = f"{sources} doesn't say it of {missing} of {len(labels)} {noun}."
        if column == "labeler" and names_left_out:
            why += f" Of {names_left_out} it gives a name where a pseudonym is expected ('info.labelers' can map them); names stay out of the record."
        yield what, why
    unreviewed = sum(label.provenance.qa is None and label.tier is None for label in labels)
    if unreviewed:
        yield "label review", f"{sources} doesn't say of {unreviewed} of {len(labels)} {noun} whether anybody reviewed them, so they have no tier."
