"""Outlines of objects: rings of x and y by turns, px."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["around", "turned_box"]

Box = tuple[float, float, float, float]
Ring = tuple[float, ...]


def around(rings: Sequence[Ring]) -> Box:
    """Return x, y, width, height of the box around rings."""
    across, down = [x for ring in rings for x in ring[::2]], [y for ring in rings for y in ring[1::2]]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def turned_box(x: float, y: float, width: float, height: float, angle: float) -> Ring:
    """Return the corners of a box around the center x, y that is turned by an angle, rad, from x to y."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    return tuple(value for across, down in corners for value in (x + across * cosine - down * sine, y + across * sine + down * cosine))
