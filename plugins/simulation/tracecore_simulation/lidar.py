"""A roof LiDAR that casts rays at the road and everything on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracecore_schemas.arrow_tables import POINTS_DTYPE
from tracecore_simulation.ego_frame import (
    Block,
    View,
    actor_blocks,
    actor_cuboid,
    house_blocks,
    light_blocks,
    light_cuboid,
    sign_blocks,
    sign_cuboid,
    tree_blocks,
)
from tracecore_simulation.rig import LIDAR_PLACE

__all__ = ["AZIMUTHS", "RINGS", "blocks_of", "cast_rays"]

RINGS, AZIMUTHS = 16, 360
_LOWEST, _HIGHEST = -15.0, 7.5  # degrees
_REACH = 80.0  # m
_NOISE = 0.012  # m, standard deviation of a range
_LOST = 0.03  # share of echoes lost at short range
_ROAD = 0.12  # reflectivity of the road
_EGO = 2.2  # m: nearer echoes are from the car itself

Floats = npt.NDArray[np.float64]


def blocks_of(view: View) -> list[Block]:
    """Return the upright boxes, in the vehicle's frame, that model all objects near enough for the LiDAR to hit."""
    found = list(house_blocks(view))
    for actor in view.town.actors:
        cuboid = actor_cuboid(view, actor)
        if _near(cuboid[0], cuboid[1]):
            found += actor_blocks(cuboid, actor)
    for sign in view.town.signs:
        cuboid = sign_cuboid(view, sign)
        if _near(cuboid[0], cuboid[1]):
            found += sign_blocks(view, sign, cuboid)
    for light in view.town.lights:
        cuboid = light_cuboid(view, light)
        if _near(cuboid[0], cuboid[1]):
            found += light_blocks(view, light, cuboid)
    for tree in view.town.trees:
        x, y, _ = view.vehicle(tree.lateral, tree.along)
        if _near(x, y):
            found += tree_blocks(view, tree)
    return found


def _near(x: float, y: float) -> bool:
    return x * x + y * y < _REACH * _REACH


def cast_rays(blocks: Sequence[Block], rng: np.random.Generator) -> npt.NDArray[np.void]:
    """Return the echoes of one LiDAR turn as points of dtype `POINTS_DTYPE` in the LiDAR's frame, m, ordered by ring (elevation), then azimuth.

    A ray returns an echo from the nearest of the blocks (upright boxes) and the road (at height 0) that it hits; none if it hits nothing. `rng`
    adds noise and removes some echoes.
    """
    azimuth = np.deg2rad(np.arange(AZIMUTHS, dtype=np.float64) * (360 / AZIMUTHS))
    slope = np.tan(np.deg2rad(np.linspace(_LOWEST, _HIGHEST, RINGS)))[:, None]
    eye = LIDAR_PLACE[2]
    with np.errstate(divide="ignore"):
        distance = np.where(slope < 0, -eye / slope, np.inf) * np.ones((1, AZIMUTHS))
    shine = np.full((RINGS, AZIMUTHS), _ROAD)
    if blocks:
        enter, leave = _spans(blocks, azimuth)
        seen, where = np.nonzero(enter < np.minimum(leave, _REACH))  # pairs of block and direction that intersect
        near, far = enter[seen, where], leave[seen, where]
        low, high, back = (np.array([getattr(block, name) for block in blocks])[seen] for name in ("low", "high", "shine"))
        with np.errstate(divide="ignore", invalid="ignore"):
            onto = np.where((eye > high) & (slope < 0), (high - eye) / slope, near)  # reaches the top from above
            up_to = np.where((eye < low) & (slope > 0), (low - eye) / slope, near)  # reaches the bottom from below
        at = np.maximum(near, np.maximum(onto, up_to))
        height = eye + slope * at
        hit = (at <= far) & (height >= low - 1e-9) & (height <= high + 1e-9)
        at = np.where(hit, at, np.inf)
        for ring in range(RINGS):
            _keep_nearest(distance[ring], shine[ring], where, at[ring], back)
    return _echoes(distance, shine, azimuth, slope, rng)


def _spans(blocks: Sequence[Block], azimuth: Floats) -> tuple[Floats, Floats]:
    """Return the horizontal distances, m [blocks, azimuths], where each LiDAR direction enters and leaves each block; entry beyond exit is a miss."""
    x, y, yaw, long, wide = (np.array([getattr(block, name) for block in blocks])[:, None] for name in ("x", "y", "yaw", "long", "wide"))
    cos, sin = np.cos(yaw), np.sin(yaw)
    dx, dy = LIDAR_PLACE[0] - x, LIDAR_PLACE[1] - y
    start = (dx * cos + dy * sin, -dx * sin + dy * cos)
    step = (np.cos(azimuth - yaw), np.sin(azimuth - yaw))
    enter, leave = np.full(step[0].shape, 0.05), np.full(step[0].shape, np.inf)
    for origin, slant, half in zip(start, step, (long, wide), strict=True):
        direction = np.where(np.abs(slant) < 1e-9, 1e-9, slant)
        first, second = (-half - origin) / direction, (half - origin) / direction
        enter, leave = np.maximum(enter, np.minimum(first, second)), np.minimum(leave, np.maximum(first, second))
    return enter, leave


def _keep_nearest(distance: Floats, shine: Floats, where: npt.NDArray[np.intp], at: Floats, back: Floats) -> None:
    """Lower `distance` and set `shine` (reflectivity), both by LiDAR direction, in place for each direction that has a closer hit.

    `where[i]` is the direction of hit i, `at[i]` its distance, `back[i]` its reflectivity.
    """
    nearest = np.full(len(distance), np.inf)
    np.minimum.at(nearest, where, at)
    better = nearest < distance
    chosen = better[where] & (at == nearest[where])
    distance[better] = nearest[better]
    shine[where[chosen]] = back[chosen]


def _echoes(distance: Floats, shine: Floats, azimuth: Floats, slope: Floats, rng: np.random.Generator) -> npt.NDArray[np.void]:
    noise = rng.standard_normal(distance.shape) * _NOISE
    lost = rng.random(distance.shape) < _LOST + 0.25 * (np.where(np.isfinite(distance), distance, 0) / _REACH) ** 2
    kept = np.isfinite(distance) & (distance < _REACH) & (distance > _EGO) & ~lost
    reach = np.where(kept, distance, 0.0) + noise
    points = np.empty(int(kept.sum()), dtype=POINTS_DTYPE)
    points["x"] = (reach * np.cos(azimuth))[kept]
    points["y"] = (reach * np.sin(azimuth))[kept]
    points["z"] = (reach * slope)[kept]
    points["intensity"] = np.clip(shine * (1 - 0.4 * distance.clip(0, _REACH) / _REACH) + 0.5 * noise, 0.01, 1.0)[kept]
    return points
