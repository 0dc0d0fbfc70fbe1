"""The camera: a pinhole above the road, looking along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NEAR", "Camera", "Point2", "Point3"]

Point3 = tuple[float, float, float]
"""x to the right, y up from the road, z ahead; meters from the point of the road below the camera."""
Point2 = tuple[float, float]
"""u to the right, v down; pixels."""
NEAR = 1.2  # m: what is nearer is cut off


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera.

    Attributes:
        width: px.
        height: px.
        focal: px.
        horizon: row of the horizon, px; it moves a little as the car pitches.
        eye: height above the road, m.
    """

    width: int
    height: int
    focal: float
    horizon: float
    eye: float = 1.5

    def project(self, point: Point3) -> Point2:
        """Give the pixel of a point ahead."""
        x, y, z = point
        scale = self.focal / max(z, 1e-3)
        return self.width / 2 + scale * x, self.horizon + scale * (self.eye - y)

    def polygon(self, points: Sequence[Point3]) -> list[Point2]:
        """Project a flat polygon, cut at the near plane; empty where nothing of it is ahead."""
        if all(point[2] >= NEAR for point in points):
            return [self.project(point) for point in points]
        cut: list[Point3] = []
        for here, there in zip(points, [*points[1:], points[0]], strict=True):
            if here[2] >= NEAR:
                cut.append(here)
            if (here[2] >= NEAR) != (there[2] >= NEAR):
                part = (NEAR - here[2]) / (there[2] - here[2])
                cut.append((here[0] + part * (there[0] - here[0]), here[1] + part * (there[1] - here[1]), NEAR))
        return [self.project(point) for point in cut] if len(cut) > 2 else []
