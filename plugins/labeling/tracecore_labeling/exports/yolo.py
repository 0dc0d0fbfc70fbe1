"""Export to YOLO: a text file per image in `labels`, one line per box or its polygon, and `data.yaml` with the class names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore_labeling.exports.batch import ExportResult, LabeledFrame, classes_of
from tracecore_labeling.imports.label_file import bounding_box
from tracecore_schemas.refs import frame_ref

__all__ = ["export_yolo"]

_ROUNDING_PX = 1e-6


def export_yolo(frames: Sequence[LabeledFrame], path: Path) -> ExportResult:
    """Write boxes to a YOLO folder, as a label file per image, named by percent-encoded frame ref. Return counts of written and left-out labels.

    A frame without boxes gets a file only if labels state that it has no object. Raises UsageError if an image with boxes has no known size.
    """
    (path / "labels").mkdir(parents=True, exist_ok=True)
    written = ExportResult(files=1)
    classes = classes_of(frames, ["box2d"])
    for frame in frames:
        boxes = written.supported(frame, ["box2d"])
        if not boxes and not frame.empty:
            continue
        if boxes and not (frame.width and frame.height):
            raise UsageError(f"A box of {frame.drive} at {frame.timestamp_ns} is of an image of unknown size, but YOLO gives boxes in shares of it.")
        lines: list[str] = []
        for label in boxes:
            outline = _outline(label)
            sides = outline or (label["x"] + label["width"] / 2, label["y"] + label["height"] / 2, label["width"], label["height"])
            shares = [value / (frame.height if place % 2 else frame.width) for place, value in enumerate(sides)]
            lines.append(" ".join([str(classes.index(label["category"])), *map(repr, shares)]))
            written.count(label, *(["polygon"] if outline else []))
        name = f"{quote(frame_ref(frame.drive, frame.sensor, frame.timestamp_ns), safe='')}.txt"
        (path / "labels" / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        written.files += 1
    names = "\n".join(f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(classes))
    write_durably(path / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names}\n".encode())
    return written


def _outline(label: Mapping[str, Any]) -> list[float] | None:
    """Return the points (x, y alternating, px) of a box's outline if it is one ring with the box as its bounding box; else None."""
    rings: Sequence[Any] = label.get("polygon") or []
    box = tuple(label[side] for side in ("x", "y", "width", "height"))
    if len(rings) != 1 or any(abs(one - other) > _ROUNDING_PX for one, other in zip(bounding_box(rings), box, strict=True)):
        return None
    return list(rings[0])
