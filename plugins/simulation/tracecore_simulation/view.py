"""A town from the place of the recording car at one moment."""

from __future__ import annotations

import math

from tracecore_simulation.camera import Point3
from tracecore_simulation.rig import CAMERA_PLACE
from tracecore_simulation.town import Town

__all__ = ["View"]


class View:
    """Where things are, as the camera sees them; what all points share is worked out once.

    Args:
        town: of the drive.
        t: seconds since its start.

    Attributes:
        along: of the rear axle, m along the road.
        heading: where the car points, radians to the right of north.
    """

    def __init__(self, town: Town, t: float) -> None:
        self.town, self.t = town, t
        self.along = town.ego.motion.along(t)
        self.heading = town.road.heading(self.along)
        self._cos, self._sin = math.cos(self.heading), math.sin(self.heading)
        x, z = town.road.place(town.ego.lateral(), self.along)
        self._x, self._z = x + CAMERA_PLACE[0] * self._sin, z + CAMERA_PLACE[0] * self._cos
        self._points, self._first, self._last = town.road.points(), town.road.first(), len(town.road.points()) - 2

    def __call__(self, across: float, along: float, up: float = 0.0) -> Point3:
        """Give a place of the road as the camera sees it: x to its right, z ahead, m."""
        offset = along - self._first
        index = int(offset)
        if index > self._last:
            index = self._last
        elif index < 0:
            index = 0
        part = offset - index
        x0, z0, cos0, sin0 = self._points[index]
        x1, z1, cos1, sin1 = self._points[index + 1]
        x = x0 + part * (x1 - x0) + across * (cos0 + part * (cos1 - cos0)) - self._x
        z = z0 + part * (z1 - z0) - across * (sin0 + part * (sin1 - sin0)) - self._z
        return x * self._cos - z * self._sin, up, x * self._sin + z * self._cos

    def vehicle(self, across: float, along: float, up: float = 0.0) -> tuple[float, float, float]:
        """Give a place of the road in the vehicle's frame: x ahead of the rear axle, y to the left, z up, m."""
        x, _, z = self(across, along)
        return z + CAMERA_PLACE[0], CAMERA_PLACE[1] - x, up

    def turn(self, along: float, turned: float = 0.0) -> float:
        """Give where something looks, radians to the right of where the car points."""
        return self.town.road.heading(along) - self.heading + turned
