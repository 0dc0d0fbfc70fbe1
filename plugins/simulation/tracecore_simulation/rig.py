"""What the car carries and where: a camera behind the windshield, a LiDAR on the roof."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BASE", "CAMERA_FRAME", "CAMERA_PLACE", "FRONT", "LIDAR_FRAME", "LIDAR_PLACE", "OPTICAL", "WHEELBASE", "WIDTH", "Mount"]

BASE = "base_link"
CAMERA_FRAME = "camera_front_optical"
LIDAR_FRAME = "lidar_top"

CAMERA_PLACE = (1.7, 0.0, 1.5)
"""Of the camera in the vehicle's frame, m: x ahead of the rear axle, y to the left, z up."""
LIDAR_PLACE = (1.1, 0.0, 1.9)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)
"""Quaternion x y z w of the camera's optical frame (x right, y down, z ahead) in the vehicle's frame: it looks straight ahead, level."""
WHEELBASE = 2.7  # m
FRONT = 3.6
"""From the rear axle to the front of the car, m."""
WIDTH = 1.8
"""Of the car, m."""


@dataclass(frozen=True, slots=True)
class Mount:
    """How a car's camera and lamps are set: every car differs a little.

    Attributes:
        horizon: row of the principal point, as a share of the height of the picture: the camera is level, so the horizon lies there.
        focal: focal length, as a share of the width of the picture.
        aim: where the headlamps point, as a share of the width of the picture from its left edge.
        lamps: strength of the headlamps.
    """

    horizon: float = 0.455
    focal: float = 0.92
    aim: float = 0.51
    lamps: float = 1.0

    def intrinsics(self, width: int, height: int) -> tuple[float, float, float]:
        """Return the focal length and the principal point (u, v) in px for a size of picture."""
        return self.focal * width, width / 2, self.horizon * height
