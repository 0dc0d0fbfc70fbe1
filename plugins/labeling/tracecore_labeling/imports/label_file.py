"""Contents of a label file in any format: its images and their labels; and parsing and box arithmetic shared by the readers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tracecore as tc
from tracecore_labeling.label_table import Box, FoundLabel, Ring
from tracecore_labeling.linking import LabeledImage
from tracecore_schemas.canonical import jcs
from tracecore_schemas.file_shapes import ShapeError, checked
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "Box",
    "FoundLabel",
    "LabelFile",
    "LeftOut",
    "Ring",
    "as_text",
    "bounding_box",
    "clip_box",
    "file_error",
    "finite_number",
    "line_error",
    "read_json",
    "read_text",
    "rotated_box",
    "rotated_box_corners",
]

T = TypeVar("T")


def read_text(path: Path, name: str) -> list[str]:
    """Return the lines of a label file; raises UsageError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise file_error(name, f"it is not UTF-8 text (byte {error.start})") from error


def read_json(path: Path, name: str, shape: TypeAdapter[T], format_: str = "") -> T:
    """Return a label file's JSON document. Raises UsageError if it is not strict JSON or not of type `shape`, which the error calls `format_`."""
    try:
        return checked(shape, loads_strict(path.read_bytes()))
    except StrictJSONError as error:
        raise tc.UsageError(f"The label file {name} is not strict JSON: {error}.") from error
    except ShapeError as error:
        raise file_error(name, f"it is not {format_}: {error}" if format_ else str(error)) from error
    except OSError as error:
        raise tc.UsageError(f"The label file {name} can't be read: {error.strerror or error}.") from error


def file_error(name: str, what: str) -> tc.UsageError:
    """Return the UsageError for a label file that can't be imported. `what` is the reason, as a clause: `it is not UTF-8 text`."""
    return tc.UsageError(f"The label file {name} can't be taken: {what}.")


def line_error(name: str, number: int, what: str) -> tc.UsageError:
    """Return the UsageError for line `number` (from 1) of a label file. `what` continues the sentence after it: `has a box without area`."""
    return file_error(name, f"line {number} {what}")


def finite_number(text: str | None) -> float | None:
    """Return a text as a finite decimal number; None if it is not one."""
    try:
        number = float(text) if text is not None and text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def as_text(value: Any) -> str:
    """Return an attribute's value as text: a string unchanged, any other value as canonical JSON."""
    if isinstance(value, str):
        return value
    try:
        return jcs(value).decode()
    except ValueError:  # an integer beyond what a double holds
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_DIGITS = 6  # the rounding error of a rotation by 90 degrees is less, px


def bounding_box(rings: Sequence[Ring]) -> Box:
    """Return the box (x, y, width, height) around all points of the rings."""
    across, down = [x for ring in rings for x in ring[::2]], [y for ring in rings for y in ring[1::2]]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def rotated_box(x: float, y: float, width: float, height: float, angle: float) -> Ring:
    """Return the corners (x, y alternating) of a box with center (x, y), rotated by an angle in rad in the direction from the x to the y axis."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    return tuple(value for across, down in corners for value in (x + across * cosine - down * sine, y + across * sine + down * cosine))


def rotated_box_corners(box: Box, degrees: float) -> Ring:
    """Return the corners (x, y alternating, px) of a box (x, y, width, height, px) rotated clockwise about its center."""
    x, y, width, height = box
    return tuple(round(value, _DIGITS) for value in rotated_box(x + width / 2, y + height / 2, width, height, math.radians(degrees)))


def clip_box(box: Box, size: tuple[int, int], rounding: float) -> tuple[Box, bool]:
    """Return (box clipped to its image, whether it exceeded the image by more than `rounding`); lengths are px, `size` is (width, height).

    A box outside the image is clipped to one without area.
    """
    x, y, width, height = box
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + width, float(size[0])), min(y + height, float(size[1]))
    if (left, top, right, bottom) == (x, y, x + width, y + height):
        return box, False
    beyond = max(left - x, top - y, x + width - right, y + height - bottom)
    return (left, top, max(right - left, 0.0), max(bottom - top, 0.0)), beyond > rounding


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Labels of a file that are not imported; their `image` (id, if any) is never recorded as having no object.

    Attributes:
        what: plural noun, with the reason if needed ("boxes without area").
    """

    what: str
    image: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class LabelFile:
    """Contents of one label file; labels by image id.

    Attributes:
        clipped: number of boxes clipped to their image.
        left_out: labels not imported; every label of the file is either in `labels` or counted here.
        unknowns: (what, why) of facts that its labels lack.
        unstated: ids of images without listed objects that the file does not state to be empty.
    """

    name: str
    digest: str
    images: Sequence[LabeledImage]
    labels: Mapping[str, Sequence[FoundLabel]]
    clipped: int = 0
    left_out: Sequence[LeftOut] = ()
    unknowns: Sequence[tuple[str, str]] = ()
    unstated: frozenset[str] = frozenset()

    @property
    def found(self) -> int:
        """The number of labels in the file, including those not imported."""
        return sum(map(len, self.labels.values())) + sum(each.count for each in self.left_out)

    @property
    def names_left_out(self) -> int:
        """The number of labels whose labeler was left out, since the file has a name instead of a pseudonym."""
        return sum(label.provenance.name_left_out for labels in self.labels.values() for label in labels)
