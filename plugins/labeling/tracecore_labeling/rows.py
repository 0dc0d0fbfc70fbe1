"""Rows of the label table: the one way that every stage of this plugin builds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tracecore_labeling.linking import RecordedFrame
from tracecore_labeling.provenance import NOTHING_KNOWN, Provenance
from tracecore_schemas.canonical import digest_json, hex_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Row", "empty_row", "label_id", "label_row", "label_table"]

Box = tuple[float, float, float, float]
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
    """Give a label its id for ever: 32 hex digits of the SHA-256 of JCS [source, place].

    Args:
        source: digest of the label file, `sha256:<hex>`, or the task of a campaign.
        place: in a file the label's id as text (`image:<id>` for the statement that an image holds nothing), in a campaign the label's ordinal.
    """
    return hex_of(digest_json([source, place]))[:32]


def label_row(frame: RecordedFrame, id_: str, geometry: str, *, box: Box | None = None, origin: Provenance = NOTHING_KNOWN, **columns: Any) -> Row:
    """Build one row from the frame it is of, its geometry, its box where it has one (x, y, width, height in px), and where it comes from."""
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
    """Build the row that says of a frame that it was looked at and holds no object."""
    return label_row(frame, id_, "none", **columns)


def label_table(rows: Iterable[Row]) -> pa.Table:
    """Make the label table, sorted by frame and label, so that the same labels give the same bytes."""
    from tracecore_schemas.arrow_tables import (
        LABELS,
        table_of,  # brings pyarrow, which `tracecore --help` does without
    )

    ordered = sorted(rows, key=lambda row: (row.drive, row.timestamp_ns, row.sensor, row.label_id))
    return table_of(LABELS, _mappings(ordered))


def _mappings(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        values = {name: getattr(row, name) for name in _COLUMNS}
        for name in ("attributes", "frame_attributes"):
            values[name] = sorted((values[name] or {}).items())
        yield values
