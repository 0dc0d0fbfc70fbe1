"""A label file of KITTI's object set: one line an object, a box in the left color image and a cuboid in the rectified camera's frame.

Source: the object development kit's readme: type, truncated, occluded, alpha, left, top, right, bottom (px), height, width, length (m), x, y, z of
the bottom's center (m), rotation about y (rad), and of results a score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from tracecore_labeling.folders import read_text, wrong_line
from tracecore_labeling.label_file import FoundLabel, LabelFile
from tracecore_labeling.linking import LabeledImage

__all__ = ["IGNORED", "cuboid_of", "read_kitti", "upright"]

IGNORED = "DontCare"
"""Of a region that nobody labeled."""

_FIELDS = 15
_FLAT = 1e-6  # a rotation about another axis than y, beyond rounding


def cuboid_of(height: float, width: float, length: float, x: float, y: float, z: float, rotation: float) -> tuple[float, ...]:
    """Give the ten numbers of a cuboid from KITTI's: its center lies half its height above its bottom, and y points down."""
    return (x, y - height / 2, z, 0.0, math.sin(rotation / 2), 0.0, math.cos(rotation / 2), length, height, width)


def upright(cuboid: tuple[float, ...]) -> tuple[float, ...] | None:
    """Give KITTI's height, width, length, x, y, z and rotation of a cuboid in a camera's frame; None where it is turned about another axis than y."""
    x, y, z, qx, qy, qz, qw, length, height, width = cuboid
    if abs(qx) > _FLAT or abs(qz) > _FLAT:
        return None
    return height, width, length, x, y + height / 2, z, 2 * math.atan2(qy, qw)


def read_kitti(path: Path, name: str, digest: str, image: LabeledImage, cuboid_frame: str) -> LabelFile:
    """Read one label file.

    Args:
        path: where it lies.
        name: what errors and the record call it.
        digest: of its bytes.
        image: which it labels.
        cuboid_frame: what the rectified camera's frame is called.

    Raises:
        UsageProblem: a line that isn't as KITTI says.
    """
    labels = [
        label for number, line in enumerate(read_text(path, name), start=1) if line.strip() for label in _labels(line, name, number, cuboid_frame)
    ]
    return LabelFile(name, digest, [image], {image.id: labels})


def _labels(line: str, name: str, number: int, cuboid_frame: str) -> Iterator[FoundLabel]:
    category, *rest = line.split()
    if len(rest) not in {_FIELDS - 1, _FIELDS}:
        raise wrong_line(name, number, f"has {len(rest) + 1} fields, expected {_FIELDS} (16 with a score)")
    try:
        values = [float(each) for each in rest]
    except ValueError as error:
        raise wrong_line(name, number, f"holds {str(error).rpartition(': ')[2]} where a number belongs") from error
    if not all(map(math.isfinite, values)):
        raise wrong_line(name, number, "holds a number that is not finite")
    truncated, occluded, alpha, left, top, right, bottom = values[:7]
    if right <= left or bottom <= top:
        raise wrong_line(name, number, f"has a box without area: {left} {top} {right} {bottom}")
    ignored = category == IGNORED
    attributes = {} if ignored else {"truncated": f"{truncated:g}", "occluded": f"{occluded:g}", "alpha": f"{alpha:g}"}
    # KITTI's objects have no track; this one says that box and cuboid are of one object.
    track = None if ignored else f"{Path(name).stem}-{number}"
    yield FoundLabel(
        id=f"{name}/{number}", category=category, box=(left, top, right - left, bottom - top), crowd=ignored, track=track, attributes=attributes
    )
    height, width, length = values[7:10]
    if not ignored and min(height, width, length) > 0:
        cuboid = cuboid_of(*values[7:14])
        yield FoundLabel(
            id=f"{name}/{number}/cuboid",
            geometry="cuboid",
            category=category,
            cuboid=cuboid,
            cuboid_frame=cuboid_frame,
            track=track,
            attributes=attributes,
        )
