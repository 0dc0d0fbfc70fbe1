"""Ground truth of one frame: boxes and cuboids, the free path ahead, and the traffic light that applies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracecore_simulation.camera import Camera
from tracecore_simulation.ego_frame import View, actor_size
from tracecore_simulation.rig import FRONT, WIDTH
from tracecore_simulation.roadside import lamp_offset
from tracecore_simulation.scene import Box
from tracecore_simulation.town import TrafficLight

__all__ = ["GAP", "LIGHT_REACH", "NO_LIGHT", "WAYS", "FrameTruth", "light_ahead", "path_ahead"]

WAYS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
"""Distances along the path of the labeled points, m."""
GAP = 2.0
"""Distance to the vehicle ahead at which the path ends, m; less than the 3 m at which cars stop, so some path is left."""
LIGHT_REACH = 60.0
"""Greatest distance of a relevant traffic light, m."""
NO_LIGHT = "none"
_STEP = 0.25  # m
_LONGEST = 15.0  # m: more than half the length of any vehicle


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """Ground truth of one frame.

    Attributes:
        time: ns since the Unix epoch.
        boxes: visible objects, with cuboids.
        path: position of the rear axle after each distance of `WAYS`, x (ahead) and y (left) alternating, m, in the vehicle's frame; it ends `GAP`
            behind the vehicle ahead on the lane, and may be empty.
        light: none, red, yellow or green.
    """

    time: int
    boxes: tuple[Box, ...]
    path: tuple[float, ...]
    light: str


def path_ahead(view: View) -> tuple[float, ...]:
    """Return the path on the car's lane from the rear axle to the end of the free lane: x (ahead) and y (left) alternating, m; empty if blocked."""
    lateral, along, driven = view.town.ego.lateral(), view.along, 0.0
    end = _free_until(view)
    found: list[float] = []
    for way in WAYS:
        if along >= end:
            break
        while driven < way and along < end:
            part = 1 - view.town.road.curvature(along + _STEP / 2) * lateral  # the lane is shorter than the road's middle on the inside of a bend
            step = min(_STEP, (way - driven) / part, end - along)
            along, driven = along + step, driven + step * part
            if way - driven < 1e-9:
                break
        x, y, _ = view.vehicle(lateral, along)
        found += [round(x, 3), round(y, 3)]
    return tuple(found)


def _free_until(view: View) -> float:
    """Return the rear axle's position along the road, m, when the car is `GAP` m behind the nearest road user on its lane; infinity without one."""
    lateral, front = view.town.ego.lateral(), view.along + FRONT
    found = math.inf
    for actor in view.town.actors:
        across, along = actor.place(view.t)
        if not front < along < front + WAYS[-1] + _LONGEST:
            continue
        long, wide, _ = actor_size(actor)
        cos, sin = abs(math.cos(actor.turned)), abs(math.sin(actor.turned))
        if abs(across - lateral) < (WIDTH + long * sin + wide * cos) / 2:
            found = min(found, along - (long * cos + wide * sin) / 2 - GAP - FRONT)
    return found


def light_ahead(view: View, boxes: Sequence[Box], camera: Camera) -> str:
    """Return the color of the nearest traffic light ahead whose head has a box without `ignore` and whose lit lamp is visible; `none` without one."""
    seen = {box.track: box for box in boxes if box.category == "traffic_light" and not box.ignore}
    ahead = [
        (light.along - view.along, light.track)
        for light in view.town.lights
        if light.track in seen and 0 < light.along - view.along <= LIGHT_REACH and _lamp_shown(view, light, camera)
    ]
    return seen[min(ahead)[1]].state if ahead else NO_LIGHT


def _lamp_shown(view: View, light: TrafficLight, camera: Camera) -> bool:
    """Whether the center of a traffic light's lit lamp is inside the picture, whose edge may cut through the head of a near light."""
    aside, down = lamp_offset(light, light.signal.state(view.t))
    x, y, z = view(light.lateral, light.along, light.high)
    u, v = camera.project((x + aside, y - down, z))
    return 0 <= u < camera.width and 0 <= v < camera.height
