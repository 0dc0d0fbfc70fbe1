"""What is true of one frame: its boxes and cuboids, the way the car will drive, and the light it has to obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracecore_simulation.camera import Camera
from tracecore_simulation.scene import Box
from tracecore_simulation.town import TrafficLight
from tracecore_simulation.traffic_light import lamp_offset
from tracecore_simulation.view import View

__all__ = ["LIGHT_REACH", "NO_LIGHT", "WAYS", "FrameTruth", "light_ahead", "path_ahead"]

WAYS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
"""After how many meters of way the car's path is told."""
LIGHT_REACH = 60.0
"""How far ahead a light counts, m."""
NO_LIGHT = "none"
_STEP = 0.25  # m


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """One frame.

    Attributes:
        time: of the picture, ns since the Unix epoch.
        boxes: what is to be seen on it, with cuboids.
        path: where the rear axle will be after each of `WAYS`: x ahead and y to the left by turns, m, in the vehicle's frame.
        light: none, red, yellow or green.
    """

    time: int
    boxes: tuple[Box, ...]
    path: tuple[float, ...]
    light: str


def path_ahead(view: View) -> tuple[float, ...]:
    """Follow our lane from the rear axle on; the car keeps to it."""
    lateral, along, driven = view.town.ego.lateral(), view.along, 0.0
    found: list[float] = []
    for way in WAYS:
        while driven < way:
            part = 1 - view.town.road.curvature(along + _STEP / 2) * lateral  # our lane is shorter than the middle on the inside of a bend
            step = min(_STEP, (way - driven) / part)
            along, driven = along + step, driven + step * part
            if way - driven < 1e-9:
                break
        x, y, _ = view.vehicle(lateral, along)
        found += [round(x, 3), round(y, 3)]
    return tuple(found)


def light_ahead(view: View, boxes: Sequence[Box], camera: Camera) -> str:
    """Give the state of the nearest light ahead that counts for us, is boxed, and has its lit lamp on the picture; else none."""
    seen = {box.track: box for box in boxes if box.category == "traffic_light"}
    ahead = [
        (light.along - view.along, light.track)
        for light in view.town.lights
        if light.track in seen and 0 < light.along - view.along <= LIGHT_REACH and _lamp_shown(view, light, camera)
    ]
    return seen[min(ahead)[1]].state if ahead else NO_LIGHT


def _lamp_shown(view: View, light: TrafficLight, camera: Camera) -> bool:
    """Say whether the middle of a light's lit lamp lies on the picture: near by, the edge may cut through its head."""
    aside, down = lamp_offset(light, light.signal.state(view.t))
    x, y, z = view(light.lateral, light.along, light.high)
    u, v = camera.project((x + aside, y - down, z))
    return 0 <= u < camera.width and 0 <= v < camera.height
