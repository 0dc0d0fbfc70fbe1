"""Label files of YOLO: one line a box, class number and center x, center y, width, height in shares of the image.

A line with more numbers is a polygon; as Ultralytics does where it trains for boxes, the box around it is taken.

Source: Ultralytics' detection data format; class names stand in `data.yaml` (`names`: a list, or a mapping by number)
or, a line each, in `obj.names`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tracecore.errors import UsageProblem
from tracecore_labeling.folders import read_text, wrong_line

__all__ = ["YoloBox", "read_boxes", "read_names"]

_FIELDS = 5
_ROUNDING = 1e-6  # shares are written with six digits


@dataclass(frozen=True, slots=True)
class YoloBox:
    """One line: the class's number, and a box in shares of its image; `polygon` says that it is the box around one."""

    line: int
    number: int
    x: float
    y: float
    width: float
    height: float
    polygon: bool = False

    def pixels(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Give x, y, width, height in px, cut at the image's edge (rounded shares may reach beyond it)."""
        left, top = max(0.0, (self.x - self.width / 2) * width), max(0.0, (self.y - self.height / 2) * height)
        right, bottom = min(float(width), (self.x + self.width / 2) * width), min(float(height), (self.y + self.height / 2) * height)
        return left, top, right - left, bottom - top


def read_boxes(path: Path, name: str, classes: Sequence[str]) -> list[YoloBox]:
    """Read the boxes of one image.

    Raises:
        UsageProblem: a line that isn't as the format says, or a class number without a name.
    """
    boxes: list[YoloBox] = []
    for line, text in enumerate(read_text(path, name), start=1):
        fields = text.split()
        if not fields:
            continue
        if len(fields) != _FIELDS and (len(fields) < _FIELDS or len(fields) % 2 == 0):
            raise wrong_line(name, line, f"has {len(fields)} fields, expected {_FIELDS}, or a polygon's 7, 9, 11 …")
        try:
            number, values = int(fields[0]), [float(each) for each in fields[1:]]
        except ValueError as error:
            raise wrong_line(name, line, f"is no class number and four numbers: {text.strip()!r}") from error
        if not 0 <= number < len(classes):
            raise wrong_line(name, line, f"is of class {number}, but there are {len(classes)} classes ({', '.join(classes)})")
        x, y, width, height = values if len(values) == _FIELDS - 1 else _around(values)
        box = YoloBox(line, number, x, y, width, height, polygon=len(values) > _FIELDS - 1)
        if not all(-_ROUNDING <= each <= 1 + _ROUNDING for each in values) or box.width <= 0 or box.height <= 0:
            raise wrong_line(name, line, f"has a box that is no share of its image: {text.strip()!r}")
        boxes.append(box)
    return boxes


def _around(points: Sequence[float]) -> tuple[float, float, float, float]:
    """Give center and size of the box around a polygon, x and y by turns."""
    left, right, top, bottom = min(points[::2]), max(points[::2]), min(points[1::2]), max(points[1::2])
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def read_names(path: Path, name: str) -> tuple[str, ...]:
    """Read class names in the order of their numbers from `data.yaml` or `obj.names`.

    Raises:
        UsageProblem: they are not there.
    """
    if path.suffix == ".names":
        return tuple(line.strip() for line in read_text(path, name) if line.strip())
    try:
        document = YAML(typ="safe").load(path)
    except YAMLError as error:
        raise UsageProblem(f"The file {name} is no YAML: {' '.join(str(error).split())}") from error
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        return tuple(str(names[number]) for number in range(len(names)))
    if isinstance(names, list) and names:
        return tuple(map(str, names))
    raise UsageProblem(f"The file {name} has no 'names': expected a list of class names, or a mapping from 0, 1, 2 … to them.")
