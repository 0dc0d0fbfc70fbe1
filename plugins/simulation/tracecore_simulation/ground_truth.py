"""What is true of one frame: its boxes and cuboids, the way that is free ahead of the car, and the light it has to obey."""

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
"""Meters between two points of the labeled path."""
GAP = 2.0
"""From the front of the car to the vehicle ahead on its lane, m, where its path ends: cars of this world stop 3 m apart, so some path is left."""
LIGHT_REACH = 60.0
"""How far ahead a light counts, m."""
NO_LIGHT = "none"
_STEP = 0.25  # m
_LONGEST = 15.0  # m: a vehicle further ahead than the path and this is not in its way, however long it is


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """One frame.

    Attributes:
        time: of the picture, ns since the Unix epoch.
        boxes: what is to be seen on it, with cuboids.
        path: where the rear axle will be after each of `WAYS`: x ahead and y to the left by turns, m, in the vehicle's frame. It ends `GAP` behind
            the vehicle ahead on the lane; empty where no way is free.
        light: none, red, yellow or green.
    """

    time: int
    boxes: tuple[Box, ...]
    path: tuple[float, ...]
    light: str


def path_ahead(view: View) -> tuple[float, ...]:
    """Follow our lane from the rear axle on, as far as it is free; the car keeps to it."""
    lateral, along, driven = view.town.ego.lateral(), view.along, 0.0
    end = _free_until(view)
    found: list[float] = []
    for way in WAYS:
        if along >= end:
            break
        while driven < way and along < end:
            part = 1 - view.town.road.curvature(along + _STEP / 2) * lateral  # our lane is shorter than the middle on the inside of a bend
            step = min(_STEP, (way - driven) / part, end - along)
            along, driven = along + step, driven + step * part
            if way - driven < 1e-9:
                break
        x, y, _ = view.vehicle(lateral, along)
        found += [round(x, 3), round(y, 3)]
    return tuple(found)


def _free_until(view: View) -> float:
    """Return how far along the road the rear axle may come: `GAP` behind the nearest on our lane, m; infinity where the lane is free."""
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
    """Return the state of the nearest light ahead that counts for us, can be labeled, and has its lit lamp on the picture; else none."""
    seen = {box.track: box for box in boxes if box.category == "traffic_light" and not box.ignore}
    ahead = [
        (light.along - view.along, light.track)
        for light in view.town.lights
        if light.track in seen and 0 < light.along - view.along <= LIGHT_REACH and _lamp_shown(view, light, camera)
    ]
    return seen[min(ahead)[1]].state if ahead else NO_LIGHT


def _lamp_shown(view: View, light: TrafficLight, camera: Camera) -> bool:
    """Return whether the middle of a light's lit lamp lies on the picture: near by, the edge may cut through its head."""
    aside, down = lamp_offset(light, light.signal.state(view.t))
    x, y, z = view(light.lateral, light.along, light.high)
    u, v = camera.project((x + aside, y - down, z))
    return 0 <= u < camera.width and 0 <= v < camera.height
