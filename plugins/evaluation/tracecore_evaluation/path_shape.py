"""A path as labels have it (points along the way) turned into what a model says: how far to the left the way is at given distances ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["lateral", "points_of"]

_DRAWN_ON = 0.1  # share of a distance by which a path's last piece may be drawn on


def lateral(path: Sequence[float], ahead: Sequence[float]) -> NDArray[np.float64]:
    """Return y of a path at distances x ahead, m.

    The way begins at the vehicle's origin and counts as far as it leads forward and its points are finite; where it ends, its last piece is drawn on
    a little, for in a bend 30 m of way end short of 30 m ahead.

    Args:
        path: x ahead and y to the left by turns, m, in the vehicle's frame.
        ahead: distances, m, ascending.

    Returns:
        y at each distance, NaN beyond the path's end.
    """
    points = np.asarray(path[: len(path) // 2 * 2], dtype=np.float64).reshape(-1, 2)
    broken = np.flatnonzero(~np.isfinite(points).all(axis=1))
    points = points[: broken[0]] if len(broken) else points
    if not (len(points) and (points[0] == 0).all()):
        points = np.concatenate([[[0.0, 0.0]], points])
    back = np.flatnonzero(np.diff(points[:, 0]) <= 0)
    turns_back = len(back) > 0
    points = points[: back[0] + 1] if turns_back else points
    x = np.asarray(ahead, dtype=np.float64)
    if len(points) < 2:
        return np.full(len(x), np.nan)
    y = np.interp(x, points[:, 0], points[:, 1])
    (near_x, near_y), (last_x, last_y) = points[-2], points[-1]
    beyond = x > last_x
    y[beyond] = last_y + (x[beyond] - last_x) * (last_y - near_y) / (last_x - near_x)
    y[x * (1 if turns_back else 1 - _DRAWN_ON) > last_x] = np.nan
    return y


def points_of(ahead: Sequence[float], left: Sequence[float]) -> list[float]:
    """Give a path as tables hold it, x and y by turns, of y at distances ahead."""
    return [float(value) for pair in zip(ahead, left, strict=True) for value in pair]
