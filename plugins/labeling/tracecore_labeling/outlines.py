"""Boxes and outlines of objects: x, y, width, height, and rings of x and y by turns, px."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Box", "Ring", "around", "cut", "turned_about_its_center", "turned_box"]

Box = tuple[float, float, float, float]
Ring = tuple[float, ...]

_DIGITS = 6  # what a turn by a quarter leaves of rounding is less, px


def around(rings: Sequence[Ring]) -> Box:
    """Return x, y, width, height of the box around rings."""
    across, down = [x for ring in rings for x in ring[::2]], [y for ring in rings for y in ring[1::2]]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def turned_box(x: float, y: float, width: float, height: float, angle: float) -> Ring:
    """Return the corners of a box around the center x, y that is turned by an angle, rad, from x to y."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    return tuple(value for across, down in corners for value in (x + across * cosine - down * sine, y + across * sine + down * cosine))


def turned_about_its_center(box: Box, degrees: float) -> Ring:
    """Return the corners of a box that CVAT gives upright, with the degrees by which it is turned clockwise about its center."""
    x, y, width, height = box
    return tuple(round(value, _DIGITS) for value in turned_box(x + width / 2, y + height / 2, width, height, math.radians(degrees)))


def cut(box: Box, size: tuple[int, int], rounding: float) -> tuple[Box, bool]:
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
