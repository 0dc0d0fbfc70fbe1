"""Cuboids, paths and points in space, and their projection into the calibrated cameras of a drive.

Lengths are meters. A cuboid is ten numbers as in ASAM OpenLABEL: center x y z, rotation quaternion x y z w, size along its own x y z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CUBOID_EDGES", "Camera", "Rig", "cuboid_corners", "inside_cuboid", "project", "quaternion_matrix", "transform"]

Floats = NDArray[np.float64]

CUBOID_EDGES: tuple[tuple[int, int], ...] = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
"""Corner indices (as in `cuboid_corners`) joined by each of a cuboid's twelve edges."""

_UNIT = np.array([[1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1]], dtype=np.float64) / 2
_NEAR = 0.1  # m: what is nearer to the camera's plane, or behind it, has no place on the image


def quaternion_matrix(quaternion: ArrayLike) -> Floats:
    """Return the rotation matrix (3, 3) of a quaternion x y z w, which is normalized first; raises ValueError if its length is 0."""
    x, y, z, w = np.asarray(quaternion, dtype=np.float64)
    length = float(np.sqrt(x * x + y * y + z * z + w * w))
    if not length > 0:
        raise ValueError("a quaternion of length 0 is not a rotation")
    x, y, z, w = x / length, y / length, z / length, w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def cuboid_corners(cuboid: Sequence[float]) -> Floats:
    """Return a cuboid's corners (8, 3), in m in the same frame as its center: bottom front left, front right, rear right, rear left, then the top."""
    values = np.asarray(cuboid, dtype=np.float64)
    corners: Floats = (_UNIT * values[7:10]) @ quaternion_matrix(values[3:7]).T + values[:3]
    return corners


def inside_cuboid(points: ArrayLike, cuboid: Sequence[float], *, margin: float = 0.0) -> NDArray[np.bool_]:
    """Return a boolean array (N,): whether each point (N, 3) is inside the cuboid enlarged by `margin` m; both have the same coordinate frame."""
    values = np.asarray(cuboid, dtype=np.float64)
    own = (np.asarray(points, dtype=np.float64)[:, :3] - values[:3]) @ quaternion_matrix(values[3:7])
    return np.asarray((np.abs(own) <= values[7:10] / 2 + margin).all(axis=1))


def transform(points: ArrayLike, matrix: ArrayLike) -> Floats:
    """Return points (N, 3) transformed by a 4x4 matrix, which may be flat in row-major order."""
    full = np.asarray(matrix, dtype=np.float64).reshape(4, 4)
    moved: Floats = np.asarray(points, dtype=np.float64)[:, :3] @ full[:3, :3].T + full[:3, 3]
    return moved


def project(points: ArrayLike, projection: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Project points (N, 3), in m in a camera's optical frame, by a 3x4 matrix, which may be flat in row-major order.

    Returns pixels (N, 2), and a boolean array (N,): whether each point is more than 0.1 m ahead of the camera, else its pixel is meaningless.
    """
    matrix = np.asarray(projection, dtype=np.float64).reshape(3, 4)
    at = np.asarray(points, dtype=np.float64)[:, :3]
    scaled = at @ matrix[:, :3].T + matrix[:, 3]
    ahead = scaled[:, 2] > _NEAR
    depth = np.where(ahead, scaled[:, 2], 1.0)
    return scaled[:, :2] / depth[:, None], ahead


_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame", "projection", "to_vehicle"]


@dataclass(frozen=True, slots=True)
class Camera:
    """A calibrated camera: 3x4 projection, optical frame to px, and 4x4 `from_vehicle`, vehicle to optical frame, None if not recorded."""

    projection: Floats
    from_vehicle: Floats | None

    def of_own(self, points: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
        """Return pixels (N, 2) of points (N, 3) in the camera's optical frame, and whether each point is more than 0.1 m ahead of it (N,)."""
        return project(points, self.projection)

    def of_vehicle(self, points: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
        """Return pixels (N, 2) of points (N, 3) in the vehicle frame, and whether each is ahead of the camera (N,), False if its pose is unknown."""
        if self.from_vehicle is None:
            count = len(np.asarray(points))
            return np.zeros((count, 2)), np.zeros(count, dtype=bool)
        return project(transform(points, self.from_vehicle), self.projection)

    def ground(self, path: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Return the pixels (u, v) of the points of `path` ahead of the camera: x, y, x, y, … on the road (z = 0), in m in the vehicle frame."""
        flat = np.asarray(path, dtype=np.float64).reshape(-1, 2)
        at, ahead = self.of_vehicle(np.column_stack([flat, np.zeros(len(flat))]))
        return tuple((float(u), float(v)) for u, v in at[ahead])


class Rig:
    """The sensor calibrations of drives, from rows of `tracecore_schemas.arrow_tables.CALIBRATIONS`."""

    def __init__(self, rows: Sequence[dict[str, Any]] = ()) -> None:
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"])):
            self._rows.setdefault((row["drive"], row["sensor"]), []).append(row)
            # A cuboid names its frame by the sensor or by the sensor's coordinate frame.
            if row["frame"] != row["sensor"]:
                self._rows.setdefault((row["drive"], row["frame"]), []).append(row)

    @classmethod
    def read(cls, table: Any, drives: Sequence[str] | None = None) -> Rig:
        """Return the sensor calibrations in a calibration table (`pyarrow.dataset.Dataset`), only those of `drives` if given; empty for None."""
        if table is None:
            return cls()
        rows = table.to_table(columns=_COLUMNS).to_pylist()
        wanted = None if drives is None else set(drives)
        return cls([row for row in rows if wanted is None or row["drive"] in wanted])

    def camera(self, drive: str, sensor: str, timestamp_ns: int) -> Camera | None:
        """Return the camera model of a sensor from its calibration at a time; None if no projection is recorded."""
        row = self._at(drive, sensor, timestamp_ns)
        if row is None or not row["projection"]:
            return None
        placed = self.to_vehicle(drive, sensor, timestamp_ns)
        return Camera(
            np.asarray(row["projection"], dtype=np.float64).reshape(3, 4), None if placed is None else np.asarray(np.linalg.inv(placed), np.float64)
        )

    def to_vehicle(self, drive: str, sensor: str, timestamp_ns: int) -> Floats | None:
        """Return the 4x4 transform from the frame of a sensor (sensor or frame name) to the vehicle's: identity for `vehicle`, None if unknown."""
        if sensor == "vehicle":
            return np.eye(4)
        row = self._at(drive, sensor, timestamp_ns)
        if row is None or not row["to_vehicle"]:
            return None
        return np.asarray(row["to_vehicle"], dtype=np.float64).reshape(4, 4)

    def _at(self, drive: str, sensor: str, timestamp_ns: int) -> dict[str, Any] | None:
        """Return the sensor's last calibration row at or before a time, else its first one; None if it has no calibration."""
        rows = self._rows.get((drive, sensor), [])
        return next((row for row in reversed(rows) if row["timestamp_ns"] <= timestamp_ns), rows[0] if rows else None)
