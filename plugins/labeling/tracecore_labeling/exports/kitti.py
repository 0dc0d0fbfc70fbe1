"""KITTI: a folder a drive, in it `label_2` with a text file an image; box and cuboid of one track on one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracecore_labeling.exports.batch import LabeledFrame, Written
from tracecore_labeling.kitti_file import upright

__all__ = ["export_kitti"]

_NO_CUBOID = (-1.0, -1.0, -1.0, -1000.0, -1000.0, -1000.0, -10.0)  # as KITTI writes for a region that nobody labeled
_VEHICLE = "vehicle"


def export_kitti(frames: Sequence[LabeledFrame], path: Path) -> Written:
    """Write KITTI label files; what has no box, and cuboids that are not in the camera's frame, have no place in them."""
    written = Written()
    for frame in frames:
        folder = path / quote(frame.drive, safe="") / "label_2"
        folder.mkdir(parents=True, exist_ok=True)
        lines = list(_lines(frame, written))
        (folder / f"{frame.timestamp_ns:06d}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        written.files += 1
    return written


def _lines(frame: LabeledFrame, written: Written) -> Iterator[str]:
    cuboids: dict[str, tuple[float, ...]] = {}
    boxed = {label["track"] for label in frame.labels if label["geometry"] == "box2d" and label["track"] is not None}
    for label in frame.labels:
        if label["geometry"] == "cuboid":
            kitti = upright(tuple(label["cuboid"])) if label["cuboid_frame"] != _VEHICLE else None
            if kitti is None or label["track"] not in boxed:
                written.leave_out("cuboid in another frame" if kitti is None else "cuboid without a box")
            else:
                cuboids[label["track"]] = kitti
                written.labels += 1
        elif label["geometry"] != "box2d":
            written.leave_out(label["geometry"])
    for label in frame.labels:
        if label["geometry"] == "box2d":
            written.labels += 1
            yield _line(label, cuboids.get(label["track"], _NO_CUBOID))


def _line(label: Mapping[str, Any], cuboid: tuple[float, ...]) -> str:
    known = dict(label["attributes"])
    state = [known.get("truncated", "-1"), known.get("occluded", "-1"), known.get("alpha", "-10")]
    box = (label["x"], label["y"], label["x"] + label["width"], label["y"] + label["height"])
    # Spaces would part the class from itself.
    return " ".join([label["category"].replace(" ", "_"), *state, *(f"{value:.9g}" for value in (*box, *cuboid))])
