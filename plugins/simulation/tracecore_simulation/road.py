"""A road that bends: where its middle lies and where it points after so many meters along it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Road", "RoadPoint"]

RoadPoint = tuple[float, float, float, float]
"""x to the east, z to the north, m; cosine and sine of the heading."""
_BEFORE = 80  # m of road before the start of the drive


@dataclass(frozen=True, slots=True)
class Road:
    """A road given by its heading: a sum of sines of the way along it, so that its curvature changes smoothly, as clothoids do.

    Attributes:
        bends: amplitude in radians, length in m and phase of each sine; none for a straight road.
        length: how far its middle is worked out, m; it goes straight on from there.
    """

    bends: tuple[tuple[float, float, float], ...] = ()
    length: float = 400.0

    def heading(self, along: float) -> float:
        """Where it points, radians to the right of north."""
        return sum(amplitude * math.sin(along / wave + phase) for amplitude, wave, phase in self.bends)

    def curvature(self, along: float) -> float:
        """How sharply it turns to the right, 1/m."""
        return sum(amplitude / wave * math.cos(along / wave + phase) for amplitude, wave, phase in self.bends)

    def points(self) -> list[RoadPoint]:
        """Give its points, one a meter from `first()` on."""
        return _points(self)

    @staticmethod
    def first() -> int:
        """Where its first point lies, m along it."""
        return -_BEFORE

    def place(self, across: float, along: float) -> tuple[float, float]:
        """Give (x, z) in m of a place beside its middle, `across` to the right."""
        points = _points(self)
        index = min(max(int(along + _BEFORE), 0), len(points) - 2)
        part = along + _BEFORE - index
        x0, z0, cos0, sin0 = points[index]
        x1, z1, cos1, sin1 = points[index + 1]
        return x0 + part * (x1 - x0) + across * (cos0 + part * (cos1 - cos0)), z0 + part * (z1 - z0) - across * (sin0 + part * (sin1 - sin0))


@lru_cache(maxsize=16)
def _points(road: Road) -> list[RoadPoint]:
    """Add the road up from its heading, by Simpson's rule over each meter."""
    found: list[RoadPoint] = []
    x = z = 0.0
    count = _BEFORE + int(road.length) + 2
    for index in range(count):
        along = float(index - _BEFORE)
        here, middle, there = (road.heading(along + part) for part in (0.0, 0.5, 1.0))
        found.append((x, z, math.cos(here), math.sin(here)))
        x += (math.sin(here) + 4 * math.sin(middle) + math.sin(there)) / 6
        z += (math.cos(here) + 4 * math.cos(middle) + math.cos(there)) / 6
    x0, z0, _, _ = found[_BEFORE]
    return [(x - x0, z - z0, cos, sin) for x, z, cos, sin in found]
