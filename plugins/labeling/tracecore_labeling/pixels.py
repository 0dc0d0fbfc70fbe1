"""Boxes and outlines in pixels of an image: x, y, width, height, and rings of x and y by turns."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Box", "Ring", "around", "corners_turned", "cut"]

Box = tuple[float, float, float, float]
Ring = tuple[float, ...]

_DIGITS = 6  # a millionth of a px: what a rotation by a quarter leaves of rounding


def around(rings: Sequence[Ring]) -> Box:
    """Return the box around an outline."""
    xs = [x for ring in rings for x in ring[::2]]
    ys = [y for ring in rings for y in ring[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def corners_turned(box: Box, degrees: float) -> Ring:
    """Return the corners of a box that is turned clockwise about its center."""
    x, y, width, height = box
    turn = math.radians(degrees)
    across, down = math.cos(turn), math.sin(turn)
    corners = [(sx * width / 2, sy * height / 2) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    placed = [(x + width / 2 + dx * across - dy * down, y + height / 2 + dx * down + dy * across) for dx, dy in corners]
    return tuple(round(value, _DIGITS) for point in placed for value in point)


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
