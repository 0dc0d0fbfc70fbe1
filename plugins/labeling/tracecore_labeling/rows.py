"""Rows of the label table from a linked COCO file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tracecore_labeling.coco_file import CocoAnnotation, CocoFile
from tracecore_labeling.linking import Linked, RecordedFrame
from tracecore_schemas.canonical import digest_json, hex_of

__all__ = ["Row", "label_id", "rows_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the label table (`tracecore_schemas.tables.LABELS`); maps are lists of pairs, as Arrow takes them."""

    drive: str
    sensor: str
    timestamp_ns: int
    frame_id: str
    label_id: str
    revision: int
    geometry: str
    category: str | None
    x: float | None
    y: float | None
    width: float | None
    height: float | None
    area: float | None
    crowd: bool
    image_width: int
    image_height: int
    labeler: str | None
    labeled_at: str | None
    tool: str | None
    guideline: str | None
    qa: str | None
    attributes: list[tuple[str, str]]
    frame_attributes: list[tuple[str, str]]


def label_id(source_digest: str, source_id: str) -> str:
    """Give a label its id for ever: 32 hex digits of the SHA-256 of JCS [source digest, source id].

    Args:
        source_digest: of the label file, `sha256:<hex>`.
        source_id: the annotation's id as text; `image:<id>` for the statement that an image holds nothing.
    """
    return hex_of(digest_json([source_digest, source_id]))[:32]


def rows_of(file: CocoFile, linked: Linked, source_digest: str) -> Iterator[Row]:
    """Give a row for each box of a linked image, and one of geometry `none` for each linked image without boxes."""
    boxes: dict[str, list[CocoAnnotation]] = defaultdict(list)
    for annotation in file.annotations:
        boxes[annotation.image_id].append(annotation)
    for image in file.images:
        frame = linked.frames.get(image.id)
        if frame is None:
            continue
        frame_attributes = sorted(image.attributes.items())
        if image.id not in boxes:
            yield _empty(frame, label_id(source_digest, f"image:{image.id}"), frame_attributes)
        for annotation in boxes.get(image.id, ()):
            yield _box(frame, annotation, label_id(source_digest, annotation.id), frame_attributes)


def _box(frame: RecordedFrame, annotation: CocoAnnotation, id_: str, frame_attributes: list[tuple[str, str]]) -> Row:
    x, y, width, height = annotation.box
    origin = annotation.provenance
    return Row(
        drive=frame.drive,
        sensor=frame.sensor,
        timestamp_ns=frame.timestamp_ns,
        frame_id=frame.frame_id,
        label_id=id_,
        revision=0,
        geometry="box2d",
        category=annotation.category,
        x=x,
        y=y,
        width=width,
        height=height,
        area=annotation.area,
        crowd=annotation.crowd,
        image_width=frame.width,
        image_height=frame.height,
        labeler=origin.labeler,
        labeled_at=origin.labeled_at,
        tool=origin.tool,
        guideline=origin.guideline,
        qa=origin.qa,
        attributes=sorted(annotation.attributes.items()),
        frame_attributes=frame_attributes,
    )


def _empty(frame: RecordedFrame, id_: str, frame_attributes: list[tuple[str, str]]) -> Row:
    return Row(
        drive=frame.drive,
        sensor=frame.sensor,
        timestamp_ns=frame.timestamp_ns,
        frame_id=frame.frame_id,
        label_id=id_,
        revision=0,
        geometry="none",
        category=None,
        x=None,
        y=None,
        width=None,
        height=None,
        area=None,
        crowd=False,
        image_width=frame.width,
        image_height=frame.height,
        labeler=None,
        labeled_at=None,
        tool=None,
        guideline=None,
        qa=None,
        attributes=[],
        frame_attributes=frame_attributes,
    )
