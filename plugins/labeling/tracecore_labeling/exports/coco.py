"""Export to COCO: one file with boxes and outlines, their provenance and tracks; images have drive, sensor and log time for exact linking."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracecore.files import write_durably
from tracecore_labeling.exports.batch import PROVENANCE_COLUMNS, VALUES, ExportResult, LabeledFrame, classes_of

__all__ = ["export_coco"]

_OBJECTS = ("box2d", "polygon")


def export_coco(frames: Sequence[LabeledFrame], path: Path) -> ExportResult:
    """Write boxes and outlines to a COCO detection file. Return counts of written labels, and of those left out (other geometries).

    A frame without written labels is listed only if the label batch states that the frame has no object.
    """
    written = ExportResult(files=1)
    numbers = {name: number for number, name in enumerate(classes_of(frames, _OBJECTS), start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, frame in enumerate(frames, start=1):
        objects = written.supported(frame, _OBJECTS)
        if not objects and not frame.empty:
            continue
        named: dict[str, Any] = {"id": image_id, "file_name": f"{frame.drive}/{frame.timestamp_ns}", "width": frame.width, "height": frame.height}
        named |= {"drive": frame.drive, "sensor": frame.sensor, "log_time_ns": str(frame.timestamp_ns)}
        images.append(named | dict(frame.attributes) | named)
        for _ in frame.attributes.keys() & named.keys():
            written.lose("frame attributes of COCO's own names")
        for label in objects:
            annotations.append(_annotation(label, image_id, numbers))
            written.count(label, *VALUES)
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write_durably(path, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode())
    return written


def _annotation(label: Mapping[str, Any], image_id: int, numbers: Mapping[str, int]) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": label["label_id"], "image_id": image_id, "category_id": numbers[label["category"]], "iscrowd": int(label["crowd"])}
    if label["geometry"] == "box2d":
        entry["bbox"] = [label["x"], label["y"], label["width"], label["height"]]
        entry["area"] = label["width"] * label["height"] if label["area"] is None else label["area"]
    elif label["area"] is not None:
        entry["area"] = label["area"]
    if label.get("polygon"):
        entry["segmentation"] = [list(ring) for ring in label["polygon"]]
    if label.get("ignore"):
        entry["ignore"] = 1
    entry |= {key: label[key] for key in (*PROVENANCE_COLUMNS, "track", "score") if label.get(key) is not None}
    return entry | ({"attributes": dict(label["attributes"])} if label["attributes"] else {})
