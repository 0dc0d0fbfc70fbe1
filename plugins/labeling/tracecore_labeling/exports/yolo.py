"""YOLO: a text file an image in `labels`, and `data.yaml` with the class names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tracecore.durable import write_durably
from tracecore.errors import UsageProblem
from tracecore_labeling.exports.batch import LabeledFrame, Written
from tracecore_schemas.refs import frame_ref

__all__ = ["export_yolo"]


def export_yolo(frames: Sequence[LabeledFrame], path: Path) -> Written:
    """Write a YOLO folder; files are called by their frames' refs, so that an import finds them.

    Raises:
        UsageProblem: a box is of an image without size.
    """
    (path / "labels").mkdir(parents=True, exist_ok=True)
    written = Written(files=1)
    classes = sorted({label["category"] for frame in frames for label in frame.labels if label["geometry"] == "box2d"})
    for frame in frames:
        lines: list[str] = []
        for label in frame.labels:
            if label["geometry"] != "box2d":
                written.leave_out(label["geometry"])
                continue
            if not frame.width or not frame.height:
                raise UsageProblem(
                    f"A box of {frame.drive} at {frame.timestamp_ns} is of an image of unknown size, but YOLO gives boxes in shares of it."
                )
            x, y = label["x"] + label["width"] / 2, label["y"] + label["height"] / 2
            shares = (x / frame.width, y / frame.height, label["width"] / frame.width, label["height"] / frame.height)
            lines.append(f"{classes.index(label['category'])} " + " ".join(f"{share:.9g}" for share in shares))
            written.labels += 1
        name = f"{quote(frame_ref(frame.drive, frame.sensor, frame.timestamp_ns), safe='')}.txt"
        (path / "labels" / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        written.files += 1
    names = "\n".join(f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(classes))
    write_durably(path / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names}\n".encode())
    return written
