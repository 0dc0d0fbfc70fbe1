"""A label file of any format, read: its images, the labels of each, and the box and polygon arithmetic that readers share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tracecore as tc
from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import NOTHING_KNOWN, Provenance

__all__ = [
    "Box",
    "FoundLabel",
    "LabelFile",
    "LeftOut",
    "Ring",
    "bounding_box",
    "clip_box",
    "line_error",
    "read_text",
    "rotated_box",
    "rotated_box_corners",
]


def read_text(path: Path, name: str) -> list[str]:
    """Read a label file's lines.

    Raises:
        UsageError: it is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise tc.UsageError(f"The label file {name} can't be taken: it is no UTF-8 text (byte {error.start}).") from error


def line_error(name: str, number: int, what: str) -> tc.UsageError:
    """Return what is wrong with a line; lines count from 1."""
    return tc.UsageError(f"The label file {name} can't be taken: line {number} {what}.")


Box = tuple[float, float, float, float]
Ring = tuple[float, ...]

_DIGITS = 6  # what a turn by a quarter leaves of rounding is less, px


def bounding_box(rings: Sequence[Ring]) -> Box:
    """Return x, y, width, height of the box around rings."""
    across, down = [x for ring in rings for x in ring[::2]], [y for ring in rings for y in ring[1::2]]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def rotated_box(x: float, y: float, width: float, height: float, angle: float) -> Ring:
    """Return the corners of a box around the center x, y that is turned by an angle, rad, from x to y."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    return tuple(value for across, down in corners for value in (x + across * cosine - down * sine, y + across * sine + down * cosine))


def rotated_box_corners(box: Box, degrees: float) -> Ring:
    """Return the corners of a box that CVAT gives upright, with the degrees by which it is turned clockwise about its center."""
    x, y, width, height = box
    return tuple(round(value, _DIGITS) for value in rotated_box(x + width / 2, y + height / 2, width, height, math.radians(degrees)))


def clip_box(box: Box, size: tuple[int, int], rounding: float) -> tuple[Box, bool]:
    """Cut a box at the edges of its image.

    Args:
        box: in px.
        size: width and height of the image.
        rounding: how far beyond an edge the box may reach, px, before it counts as cut.

    Returns:
        The box inside the image, without area where it lies outside, and whether it was cut by more than rounding.
    """
    x, y, width, height = box
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + width, float(size[0])), min(y + height, float(size[1]))
    if (left, top, right, bottom) == (x, y, x + width, y + height):
        return box, False
    beyond = max(left - x, top - y, x + width - right, y + height - bottom)
    return (left, top, max(right - left, 0.0), max(bottom - top, 0.0)), beyond > rounding


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """One label of a file; which fields are there depends on its geometry.

    Attributes:
        id: the file's own id of it, or what names it in the file for ever.
        geometry: box2d, cuboid, path or tag.
        category: class name; of a tag what it speaks of.
        box: x, y, width, height, px.
        area: of the object, px^2, where the file says it.
        polygon: rings of x and y by turns, px; the box of such a label is around them where the file gives none.
        crowd: whether a box stands for many objects, or for a region that nobody labeled.
        ignore: whether it is neither an error to find nor to miss.
        score: confidence, 0 to 1, of a label that a model proposed.
        cuboid: ten numbers as in OpenLABEL, m.
        cuboid_frame: in which frame the cuboid is; that of the camera it is linked to where None.
        path: x ahead, y to the left by turns, m.
        value: what a tag says.
        track: the object's, where the file has tracks.
        provenance: who, when, with what.
        attributes: whatever else the file says of it.
        task: in which it was made, where said.
        reviewer: pseudonym, where said.
        reviewed_at: where said.
        tier: working or gold, where the file records it.
        proposed_by: ref of the model that proposed it, where said.
    """

    id: str
    geometry: str = "box2d"
    category: str | None = None
    box: tuple[float, float, float, float] | None = None
    area: float | None = None
    polygon: tuple[tuple[float, ...], ...] | None = None
    crowd: bool = False
    ignore: bool = False
    score: float | None = None
    cuboid: tuple[float, ...] | None = None
    cuboid_frame: str | None = None
    path: tuple[float, ...] | None = None
    value: str | None = None
    track: str | None = None
    provenance: Provenance = NOTHING_KNOWN
    attributes: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    reviewer: str | None = None
    reviewed_at: str | None = None
    tier: str | None = None
    proposed_by: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Labels of a file that are not taken over; an image that has any is never stated to hold no object.

    Attributes:
        what: what they are, in the plural, with the reason where the noun does not say it ("boxes without area").
        image: id of the image they are of; None where they are of none.
        count: how many.
    """

    what: str
    image: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One label file, read.

    Attributes:
        name: the file's name.
        digest: its bytes' digest, which with a label's id makes its id for ever.
        images: what it labels.
        labels: of each image that has any, by image id.
        clipped: boxes that were cut at the edge of their image.
        left_out: labels that are not taken over. What a file holds is what is taken and what is left out.
        unknowns: (what, why) of whatever else its labels do not say.
        unstated: ids of images of which it does not state that they hold no object, whatever it lists of them.
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
        """Count the labels that the file holds, taken or not."""
        return sum(map(len, self.labels.values())) + sum(each.count for each in self.left_out)

    @property
    def names_left_out(self) -> int:
        """Count labels of which the file gives a name where a pseudonym is expected."""
        return sum(label.provenance.name_left_out for labels in self.labels.values() for label in labels)
