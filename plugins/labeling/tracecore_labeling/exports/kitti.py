"""Export to KITTI: a folder per drive with a text file per image in `label_2`; the box and cuboid of a track share a line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracecore_labeling.exports.batch import CLOCK, VEHICLE, ExportResult, LabeledFrame
from tracecore_labeling.imports.kitti import NO_BOX, NO_CUBOID, upright
from tracecore_schemas.kinds import DONT_CARE
from tracecore_schemas.refs import frame_ref

__all__ = ["export_kitti"]

_CAMERA = re.compile(r"image_[0-9]+")
_UNKNOWN = {"truncated": "-1", "occluded": "-1", "alpha": "-10"}

Label = Mapping[str, Any]


def export_kitti(frames: Sequence[LabeledFrame], path: Path) -> ExportResult:
    """Write boxes and upright cuboids in a camera's frame to KITTI label files. Return counts of written labels and of others, which are left out.

    A frame without written labels gets a file only if the label batch states that the frame has no object.
    """
    written = ExportResult()
    for frame in frames:
        lines = list(_lines(frame, written))
        if not lines and not frame.empty:
            continue
        folder = path / quote(frame.drive, safe="") / "label_2"
        folder.mkdir(parents=True, exist_ok=True)
        # the stem is the frame number of a KITTI set or the log time, else the percent-encoded frame ref
        numbered = frame.timestamp_ns >= CLOCK or _CAMERA.fullmatch(frame.sensor) is not None
        stem = f"{frame.timestamp_ns:06d}" if numbered else quote(frame_ref(frame.drive, frame.sensor, frame.timestamp_ns), safe="")
        (folder / f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        written.files += 1
    return written


def _lines(frame: LabeledFrame, written: ExportResult) -> Iterator[str]:
    cuboids: dict[str, tuple[Label, tuple[float, ...]]] = {}
    alone: list[tuple[Label, tuple[float, ...]]] = []
    for label in frame.labels:
        if label["geometry"] == "cuboid":
            kitti = upright(tuple(label["cuboid"])) if label["cuboid_frame"] != VEHICLE else None
            if kitti is None:
                written.leave_out("cuboid in another frame")
            elif label["track"] is None or label["track"] in cuboids:
                alone.append((label, kitti))
            else:
                cuboids[label["track"]] = label, kitti
        elif label["geometry"] != "box2d":
            written.leave_out(label["geometry"])
    for label in frame.labels:
        if label["geometry"] == "box2d":
            box = (label["x"], label["y"], label["x"] + label["width"], label["y"] + label["height"])
            of_track, cuboid = cuboids.pop(label["track"], (None, NO_CUBOID))
            yield _line(label, box, cuboid, written)
            if of_track is not None:
                _count(of_track, written, _state(of_track))
    for label, cuboid in (*alone, *cuboids.values()):
        yield _line(label, NO_BOX, cuboid, written)


def _line(label: Label, box: Sequence[float], cuboid: Sequence[float], written: ExportResult) -> str:
    state = _state(label)
    _count(label, written, state)
    name = "_".join(label["category"].split())  # spaces would part the class from itself
    if name != label["category"]:
        written.lose("spaces of class names")
    attributes = dict(label["attributes"])
    score = [f"{label['score']:.12g}"] if label.get("score") is not None else [attributes["score"]] if _is_number(attributes.get("score")) else []
    numbers = (f"{value:.12g}" for value in (*box, *cuboid))
    return " ".join([name or "_", *(_UNKNOWN | state).values(), *numbers, *score])


def _state(label: Label) -> dict[str, str]:
    """Return those of a label's attributes truncated, occluded and alpha that are numbers, as text by attribute name."""
    attributes = dict(label["attributes"])
    return {name: attributes[name] for name in _UNKNOWN if _is_number(attributes.get(name))}


def _count(label: Label, written: ExportResult, state: Mapping[str, str]) -> None:
    """Count a label as written, and its values that KITTI can't express as lost. `state`: the label's KITTI fields truncated, occluded and alpha."""
    others = [(name, value) for name, value in label["attributes"] if name not in state and not (name == "score" and _is_number(value))]
    regions = ("crowd",) if label["category"] == DONT_CARE else ()
    # The track of an object set joins box and cuboid of one line; an import creates it anew.
    written.count({**label, "attributes": others}, "score", *regions)


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text)) and text.isascii() and len(text.split()) == 1 and "_" not in text
    except ValueError:
        return False
