"""Cuboids, paths and points in space, and where a camera shows them.

Lengths are meters. A cuboid is ten numbers as in ASAM OpenLABEL: center x y z, rotation quaternion x y z w, size along its own x y z.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CUBOID_EDGES", "cuboid_corners", "inside_cuboid", "project", "quaternion_matrix", "transform"]

Floats = NDArray[np.float64]

CUBOID_EDGES: tuple[tuple[int, int], ...] = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
"""Pairs of corners that a cuboid's twelve edges join."""

_UNIT = np.array([[1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1]], dtype=np.float64) / 2
_NEAR = 0.1  # m: what is nearer to the camera's plane, or behind it, has no place on the image


def quaternion_matrix(quaternion: ArrayLike) -> Floats:
    """Give the rotation matrix (3, 3) of a quaternion x y z w; it is normalized first.

    Raises:
        ValueError: it has no length.
    """
    x, y, z, w = np.asarray(quaternion, dtype=np.float64)
    length = float(np.sqrt(x * x + y * y + z * z + w * w))
    if not length > 0:
        raise ValueError("a quaternion of length 0 is no rotation")
    x, y, z, w = x / length, y / length, z / length, w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def cuboid_corners(cuboid: Sequence[float]) -> Floats:
    """Give the corners (8, 3) of a cuboid in its own frame: below front left, front right, rear right, rear left, then above them."""
    values = np.asarray(cuboid, dtype=np.float64)
    corners: Floats = (_UNIT * values[7:10]) @ quaternion_matrix(values[3:7]).T + values[:3]
    return corners


def inside_cuboid(points: ArrayLike, cuboid: Sequence[float], *, margin: float = 0.0) -> NDArray[np.bool_]:
    """Say of points (N, 3) in the cuboid's frame whether they lie inside it, or within `margin` m of it."""
    values = np.asarray(cuboid, dtype=np.float64)
    own = (np.asarray(points, dtype=np.float64)[:, :3] - values[:3]) @ quaternion_matrix(values[3:7])
    return np.asarray((np.abs(own) <= values[7:10] / 2 + margin).all(axis=1))


def transform(points: ArrayLike, matrix: ArrayLike) -> Floats:
    """Take points (N, 3) from one frame to another by a 4x4 matrix, row-major where flat."""
    full = np.asarray(matrix, dtype=np.float64).reshape(4, 4)
    moved: Floats = np.asarray(points, dtype=np.float64)[:, :3] @ full[:3, :3].T + full[:3, 3]
    return moved


def project(points: ArrayLike, projection: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Project points of a camera's optical frame.

    Args:
        points: (N, 3), x to the right, y down, z ahead, m.
        projection: 3x4, row-major where flat.

    Returns:
        Pixels (N, 2), and of each point whether it lies ahead of the camera; pixels of the others mean nothing.
    """
    matrix = np.asarray(projection, dtype=np.float64).reshape(3, 4)
    at = np.asarray(points, dtype=np.float64)[:, :3]
    scaled = at @ matrix[:, :3].T + matrix[:, 3]
    ahead = scaled[:, 2] > _NEAR
    depth = np.where(ahead, scaled[:, 2], 1.0)
    return scaled[:, :2] / depth[:, None], ahead
