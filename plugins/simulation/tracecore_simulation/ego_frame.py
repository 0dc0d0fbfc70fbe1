"""The town in the recording car's frame: positions, cuboids of objects, and blocks for the LiDAR."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tracecore_simulation.camera import Point3
from tracecore_simulation.cars import BODIES
from tracecore_simulation.rig import CAMERA_PLACE
from tracecore_simulation.town import Actor, RoadSign, Town, TrafficLight, Tree

__all__ = [
    "Block",
    "Cuboid",
    "View",
    "actor_blocks",
    "actor_cuboid",
    "actor_size",
    "house_blocks",
    "light_blocks",
    "light_cuboid",
    "plate_of",
    "sign_blocks",
    "sign_cuboid",
    "tree_blocks",
]


class View:
    """Converts positions on the road to the camera's or vehicle's frame at time t (s).

    `along` is the rear axle's position along the road, m; `heading` is the car's, radians to the right of north.
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
        """Return a point `across` m right of the road's middle, `along` m past the drive's start, `up` m high in camera axes: right, up, ahead, m."""
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
        """Return a point `across` m right of the road's middle, `along` m past the drive's start, `up` m high in vehicle axes: ahead, left, up, m."""
        x, _, z = self(across, along)
        return z + CAMERA_PLACE[0], CAMERA_PLACE[1] - x, up

    def turn(self, along: float, turned: float = 0.0) -> float:
        """Return an object's heading relative to the recording car's, radians to the right. `turned`: its heading relative to the road at `along`."""
        return self.town.road.heading(along) - self.heading + turned


Cuboid = tuple[float, float, float, float, float, float, float, float, float, float]
"""Center x y z, rotation quaternion x y z w, size along x y z (ASAM OpenLABEL), in the vehicle's frame, m."""
HEAD = (0.30, 0.44, 1.18)
"""Depth, width and height of a traffic light head with its backing board, m."""
_POST = 0.07  # m: half the thickness of a post
_INSIDE = 0.04  # m: blocks are this much smaller than cuboids, so that noise doesn't move points outside


@dataclass(frozen=True, slots=True)
class Block:
    """An upright box in the vehicle's frame: center, half length `long` and half width `wide`, bottom and top above the road, m.

    `yaw` is in radians to the left of straight ahead, `shine` the reflectivity from 0 to 1.
    """

    x: float
    y: float
    yaw: float
    long: float
    wide: float
    low: float
    high: float
    shine: float


def actor_size(actor: Actor) -> tuple[float, float, float]:
    """Return length, width and height of an actor, m; a bicyclist includes the bicycle."""
    if actor.category == "car":
        body = BODIES[actor.body]
        return body.length, body.width, body.height
    assert actor.person is not None
    stride = 0.62 if actor.crossing else 0.46
    return (stride, 0.52, actor.person.height) if actor.category == "pedestrian" else (1.72, 0.66, 1.78)


def actor_cuboid(view: View, actor: Actor) -> Cuboid:
    """Return the cuboid of an actor in the vehicle's frame: center, quaternion, size in m. A bicyclist's includes the bicycle."""
    across, along = actor.place(view.t)
    size = actor_size(actor)
    return _upright(view.vehicle(across, along, size[2] / 2), -view.turn(along, actor.turned), size)


def sign_cuboid(view: View, sign: RoadSign) -> Cuboid:
    """Return the cuboid of a road sign's plate in the vehicle's frame: center, quaternion, size in m."""
    wide, low, high = plate_of(sign)
    return _upright(view.vehicle(sign.lateral, sign.along, (low + high) / 2), -view.turn(sign.along), (0.08, wide, high - low))


def light_cuboid(view: View, light: TrafficLight) -> Cuboid:
    """Return the cuboid of a traffic light's head in the vehicle's frame: center, quaternion, size in m."""
    depth, wide, high = HEAD if not light.lying else (HEAD[0], HEAD[2], HEAD[1])
    return _upright(view.vehicle(light.lateral, light.along, light.high), -view.turn(light.along), (depth, wide, high))


def plate_of(sign: RoadSign) -> tuple[float, float, float]:
    """Return the width of a road sign's plate, and the heights of its lower and upper edge above the road, m."""
    r = sign.size / 2
    if sign.shape == "warning":  # a triangle is not centered in its circle
        return 2 * r * 1.15 * math.cos(math.pi / 6), sign.high - r * 1.15 / 2, sign.high + r * 1.15
    if sign.shape == "stop":
        half = r * 1.05 * math.cos(math.pi / 8)
        return 2 * half, sign.high - half, sign.high + half
    if sign.shape == "panel":
        return 2 * r, sign.high - r * 0.55, sign.high + r * 0.55
    return 2 * r, sign.high - r, sign.high + r


def actor_blocks(cuboid: Cuboid, actor: Actor) -> Iterator[Block]:
    """Yield the upright boxes that the LiDAR sees of an actor: body and cabin of a car; trunk, head, legs and bicycle of a person."""
    x, y, z, yaw, (long, wide, high) = cuboid[0], cuboid[1], cuboid[2], _yaw(cuboid), cuboid[7:]
    top = z + high / 2 - _INSIDE
    if actor.category == "car":
        body = BODIES[actor.body]
        shine = 0.25 + 0.5 * sum(actor.paint) / 765
        yield Block(x, y, yaw, long / 2 - _INSIDE, wide / 2 - _INSIDE, 0.25, body.belt, shine)
        rear, front = body.cabin[0] * body.length * 0.9, body.cabin[3] * body.length * 0.8
        middle = (rear + front) / 2
        yield Block(x + middle * math.cos(yaw), y + middle * math.sin(yaw), yaw, (front - rear) / 2 - _INSIDE, wide * 0.40, body.belt, top, 0.15)
        return
    rider = actor.category == "bicyclist"
    yield Block(x, y, yaw, 0.16, 0.20, 0.95 if rider else 0.8, top - 0.22, 0.45)
    yield Block(x, y, yaw, 0.10, 0.09, top - 0.22, top, 0.35)
    if rider:
        yield Block(x, y, yaw, long / 2 - 0.06, 0.03, 0.05, 0.70, 0.3)
    yield Block(x, y, yaw, 0.14, 0.13, 0.45 if rider else 0.05, 0.95 if rider else 0.8, 0.3)


def sign_blocks(view: View, sign: RoadSign, cuboid: Cuboid) -> Iterator[Block]:
    """Yield the upright boxes that the LiDAR sees of a road sign: its retroreflective plate and its post."""
    x, y, z, yaw, (_, wide, high) = cuboid[0], cuboid[1], cuboid[2], _yaw(cuboid), cuboid[7:]
    yield Block(x, y, yaw, 0.005, wide / 2 * 0.9, z - high / 2 * 0.9, z + high / 2 * 0.9, 0.95)
    yield _post(view, sign.lateral, sign.along, z - high / 2)


def light_blocks(view: View, light: TrafficLight, cuboid: Cuboid) -> Iterator[Block]:
    """Yield the upright boxes that the LiDAR sees of a traffic light: its head and its post."""
    x, y, z, yaw, (long, wide, high) = cuboid[0], cuboid[1], cuboid[2], _yaw(cuboid), cuboid[7:]
    yield Block(x, y, yaw, long / 2 - _INSIDE, wide / 2 - _INSIDE, z - high / 2 + _INSIDE, z + high / 2 - _INSIDE, 0.2)
    yield _post(view, light.post, light.along, z - high / 2 if light.post == light.lateral else light.high)


def tree_blocks(view: View, tree: Tree) -> Iterator[Block]:
    """Yield the upright boxes that the LiDAR sees of a tree or a street lamp."""
    if tree.lamp:
        yield _post(view, tree.lateral, tree.along, tree.height)
        return
    x, y, _ = view.vehicle(tree.lateral, tree.along)
    yield Block(x, y, 0.0, 0.14, 0.14, 0.0, tree.height * 0.45, 0.25)
    yield Block(x, y, math.pi / 4, 0.28 * tree.height, 0.28 * tree.height, tree.height * 0.42, tree.height * 0.95, 0.4)


def house_blocks(view: View) -> Iterator[Block]:
    """Yield the upright box that the LiDAR sees of each nearby house."""
    for house in view.town.buildings:
        if house.end < view.along - 60 or house.start > view.along + 100:
            continue
        x0, y0, _ = view.vehicle(house.side * house.setback, house.start)
        x1, y1, _ = view.vehicle(house.side * house.setback, house.end)
        yaw, length = math.atan2(y1 - y0, x1 - x0), math.hypot(x1 - x0, y1 - y0)
        back = -house.side * 4.5  # houses are 9 m deep
        x, y = (x0 + x1) / 2 - back * math.sin(yaw), (y0 + y1) / 2 + back * math.cos(yaw)
        yield Block(x, y, yaw, length / 2, 4.5, 0.0, house.height, 0.3)


def _post(view: View, lateral: float, along: float, high: float) -> Block:
    x, y, _ = view.vehicle(lateral, along)
    return Block(x, y, 0.0, _POST, _POST, 0.0, high, 0.5)


def _upright(center: tuple[float, float, float], yaw: float, size: tuple[float, float, float]) -> Cuboid:
    return (*center, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2), *size)


def _yaw(cuboid: Cuboid) -> float:
    return 2 * math.atan2(cuboid[5], cuboid[6])
