"""The recording car's sensors and where they are mounted: a camera behind the windshield, a LiDAR on the roof."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BASE", "CAMERA_FRAME", "CAMERA_PLACE", "FRONT", "LIDAR_FRAME", "LIDAR_PLACE", "OPTICAL", "WHEELBASE", "WIDTH", "Mount"]

BASE = "base_link"
CAMERA_FRAME = "camera_front_optical"
LIDAR_FRAME = "lidar_top"

CAMERA_PLACE = (1.7, 0.0, 1.5)
"""Camera position in the vehicle's frame, m: x ahead of the rear axle, y to the left, z up."""
LIDAR_PLACE = (1.1, 0.0, 1.9)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)
"""Rotation quaternion (x, y, z, w) of the optical frame (x right, y down, z ahead) in the vehicle's frame: level, straight ahead."""
WHEELBASE = 2.7  # m
FRONT = 3.6
"""Distance from the rear axle to the front of the car, m."""
WIDTH = 1.8
"""Width of the car, m."""


@dataclass(frozen=True, slots=True)
class Mount:
    """Settings of a car's camera and headlamps, which differ a little between cars.

    Attributes:
        horizon: row of the principal point, which is the horizon's since the camera is level, as a share of the picture's height.
        focal: focal length as a share of the picture's width.
        aim: column that the headlamps point to, as a share of the picture's width.
        lamps: relative strength of the headlamps.
    """

    horizon: float = 0.455
    focal: float = 0.92
    aim: float = 0.51
    lamps: float = 1.0

    def intrinsics(self, width: int, height: int) -> tuple[float, float, float]:
        """Return (focal length, principal point u, principal point v) of the camera in px, for pictures of this size in px."""
        return self.focal * width, width / 2, self.horizon * height
