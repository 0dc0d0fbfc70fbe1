"""COCO: one file, boxes with their making and track, images with drive, sensor and log time, so that an import links them exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracecore.durable import write_durably
from tracecore_labeling.exports.batch import LabeledFrame, Written

__all__ = ["export_coco"]

_MAKING = ("labeler", "labeled_at", "tool", "guideline", "qa", "track")


def export_coco(frames: Sequence[LabeledFrame], path: Path) -> Written:
    """Write a COCO detection file; other geometries than boxes have no place in it."""
    written = Written(files=1)
    classes = sorted({label["category"] for frame in frames for label in frame.labels if label["geometry"] == "box2d"})
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, frame in enumerate(frames, start=1):
        named = {"id": image_id, "file_name": f"{frame.drive}/{frame.timestamp_ns}", "width": frame.width, "height": frame.height}
        own = {key: value for key, value in frame.attributes.items() if key not in named}
        images.append(named | {"drive": frame.drive, "sensor": frame.sensor, "log_time_ns": str(frame.timestamp_ns)} | own)
        for label in frame.labels:
            if label["geometry"] != "box2d":
                written.leave_out(label["geometry"])
                continue
            entry = {
                "id": label["label_id"],
                "image_id": image_id,
                "category_id": numbers[label["category"]],
                "bbox": [label["x"], label["y"], label["width"], label["height"]],
                "area": label["width"] * label["height"] if label["area"] is None else label["area"],
                "iscrowd": int(label["crowd"]),
            }
            entry |= {key: label[key] for key in _MAKING if label.get(key) is not None}
            annotations.append(entry | ({"attributes": dict(label["attributes"])} if label["attributes"] else {}))
            written.labels += 1
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write_durably(path, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode())
    return written
