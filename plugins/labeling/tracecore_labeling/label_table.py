"""The label table of all label stages: its rows, its facet `tracecore_labels`, and unknown provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tracecore_labeling.linking import RecordedFrame
from tracecore_labeling.provenance import NOTHING_KNOWN, Provenance
from tracecore_schemas.canonical import JSON, digest_json, hex_of
from tracecore_schemas.kinds import LIGHT_STATE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Row", "empty_row", "label_id", "label_row", "label_table", "labels_facet", "unknown_provenance"]

Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the label table (`tracecore_schemas.arrow_tables.LABELS`)."""

    drive: str
    sensor: str
    timestamp_ns: int
    frame_id: str
    label_id: str
    geometry: str
    image_width: int
    image_height: int
    revision: int = 0
    category: str | None = None
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    area: float | None = None
    polygon: tuple[tuple[float, ...], ...] | None = None
    crowd: bool = False
    ignore: bool = False
    score: float | None = None
    cuboid: tuple[float, ...] | None = None
    cuboid_frame: str | None = None
    path: tuple[float, ...] | None = None
    value: str | None = None
    track: str | None = None
    labeler: str | None = None
    labeled_at: str | None = None
    tool: str | None = None
    guideline: str | None = None
    task: str | None = None
    refusals: int | None = None
    reviewer: str | None = None
    reviewed_at: str | None = None
    qa: str | None = None
    tier: str | None = None
    proposed_by: str | None = None
    attributes: Attributes | None = None
    frame_attributes: Attributes | None = None


_COLUMNS = tuple(field.name for field in fields(Row))


def label_id(source: str, place: str | int) -> str:
    """Return the stable id of a label: the first 32 hex digits of the SHA-256 of JCS [source, place].

    Args:
        source: digest of the label file, `sha256:<hex>`, or task id of a campaign.
        place: label id in the file (`image:<id>` for an image without objects), or ordinal in the task.
    """
    return hex_of(digest_json([source, place]))[:32]


def label_row(
    frame: RecordedFrame,
    id_: str,
    geometry: str,
    *,
    box: tuple[float, float, float, float] | None = None,
    origin: Provenance = NOTHING_KNOWN,
    **columns: Any,
) -> Row:
    """Return the label row of a frame. `box`: x, y, width, height, px; `origin`: provenance, for its columns; `columns`: further columns of `Row`."""
    x, y, width, height = box if box is not None else (None,) * 4
    return Row(
        drive=frame.drive,
        sensor=frame.sensor,
        timestamp_ns=frame.timestamp_ns,
        frame_id=frame.frame_id,
        label_id=id_,
        geometry=geometry,
        image_width=frame.width,
        image_height=frame.height,
        x=x,
        y=y,
        width=width,
        height=height,
        labeler=origin.labeler,
        labeled_at=origin.labeled_at,
        tool=origin.tool,
        guideline=origin.guideline,
        qa=origin.qa,
        **columns,
    )


def empty_row(frame: RecordedFrame, id_: str, **columns: Any) -> Row:
    """Return the row that states that a frame was labeled and has no object."""
    return label_row(frame, id_, "none", **columns)


def label_table(rows: Iterable[Row]) -> pa.Table:
    """Return the label table, sorted by frame and label id, so that equal labels yield equal bytes."""
    from tracecore_schemas.arrow_tables import LABELS, table_of  # imports pyarrow, which `tracecore --help` does without

    ordered = sorted(rows, key=lambda row: (row.drive, row.timestamp_ns, row.sensor, row.label_id))
    values = ({name: getattr(row, name) for name in _COLUMNS} for row in ordered)
    attributes = ("attributes", "frame_attributes")
    return table_of(LABELS, (each | {name: sorted((each[name] or {}).items()) for name in attributes} for each in values))


_MAKING = (("labeler", "labeler"), ("labeling tool", "tool"), ("guideline version", "guideline"), ("labeling time", "labeled_at"))
_COUNTED = {"boxes": "box2d", "cuboids": "cuboid", "polygons": "polygon", "paths": "path", "tags": "tag", "empty_frames": "none"}


def labels_facet(rows: Sequence[Row]) -> dict[str, JSON]:
    """Return the facet of a label batch: counts by geometry and class, labelers, tools and guidelines."""
    geometries = Counter(row.geometry for row in rows)
    labels = [row for row in rows if row.geometry != "none"]
    reviewed = sum(row.qa is not None for row in labels)
    named = Counter(row.category or "" for row in rows if row.geometry == "box2d")
    return {
        **{name: geometries[geometry] for name, geometry in _COUNTED.items()},
        "ignored": sum(row.ignore for row in rows if row.geometry == "box2d"),
        "frames": len({row.frame_id for row in rows}),
        "gold_frames": len({row.frame_id for row in rows if row.tier == "gold"}),
        "categories": dict(sorted(named.items())),
        "light_states": dict(sorted(Counter(row.value or "" for row in rows if row.geometry == "tag" and row.category == LIGHT_STATE).items())),
        "tracks": len({(row.drive, row.track) for row in labels if row.track is not None}),
        "labelers": sorted({row.labeler for row in labels if row.labeler is not None}),
        "tools": sorted({row.tool for row in labels if row.tool is not None}),
        "guidelines": sorted({row.guideline for row in labels if row.guideline is not None}),
        "reviewed_share": reviewed / len(labels) if reviewed else None,
    }


def unknown_provenance(rows: Sequence[Row], sources: str, *, names_left_out: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (what, why) for each provenance column that labels lack.

    Args:
        sources: names of the label files, for the sentence.
        names_left_out: number of labels whose labeler is a name instead of a pseudonym, and so left out.
    """
    labels = [row for row in rows if row.geometry != "none"]
    noun = "boxes" if all(row.geometry == "box2d" for row in labels) else "labels"
    for what, column in _MAKING:
        missing = sum(getattr(row, column) is None for row in labels)
        if not missing:
            continue
        why = f"{sources} doesn't say it of {missing} of {len(labels)} {noun}."
        if column == "labeler" and names_left_out:
            why += f" Of {names_left_out} it gives a name where a pseudonym is expected ('info.labelers' can map them); names stay out of the record."
        yield what, why
    unreviewed = sum(row.qa is None and row.tier is None for row in labels)
    if unreviewed:
        yield "label review", f"{sources} doesn't say of {unreviewed} of {len(labels)} {noun} whether anybody reviewed them, so they have no tier."
