"""Drawing of pedestrians and bicyclists as flat figures that face the camera, with moving limbs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracecore_simulation.camera import Camera, Canvas, Color, Point2, Point3

__all__ = ["Person", "draw_bicyclist", "draw_pedestrian"]

_FAR_FIGURE = 24  # px: smaller figures show no arms


@dataclass(frozen=True, slots=True)
class Person:
    """A person's height in m, and colors."""

    height: float
    skin: Color
    hair: Color
    top: Color
    trousers: Color


@dataclass(frozen=True, slots=True)
class _Figure:
    """A local frame that maps meters right of and above a point to pixels; `flip` is -1 to mirror."""

    camera: Camera
    place: Point3
    flip: int

    def at(self, right: float, up: float) -> Point2:
        return self.camera.project((self.place[0] + self.flip * right, self.place[1] + up, self.place[2]))

    @property
    def scale(self) -> float:
        return self.camera.focal / self.place[2]


def draw_pedestrian(canvas: Canvas, camera: Camera, place: Point3, person: Person, phase: float, sideways: float) -> None:
    """Draw a walking pedestrian with the feet at `place` (camera coordinates, m). `phase`: phase of the stride, radians.

    `sideways` is -1 for walking to the left, 1 to the right, 0 along the line of sight.
    """
    figure = _Figure(camera, place, -1 if sideways < 0 else 1)
    h, s = person.height, figure.scale
    swing = math.sin(phase) * (0.24 if sideways else 0.07) * h / 1.75
    lift = (0.0 if sideways else max(0.0, math.sin(phase)) * 0.08, 0.0 if sideways else max(0.0, -math.sin(phase)) * 0.08)
    hip, shoulder, neck = 0.50 * h, 0.80 * h, 0.86 * h
    broad = (0.10 if sideways else 0.16) * h / 1.75 * 1.35
    if h * s < _FAR_FIGURE:
        _draw_far(canvas, figure, person, broad, swing)
        return
    dark: Color = tuple(int(channel * 0.75) for channel in person.trousers)  # type: ignore[assignment]  # three channels stay three
    canvas.limb(figure.at(-0.05, hip), figure.at(-0.05 - swing, 0.04 + lift[0]), 0.15 * s, dark)
    canvas.limb(figure.at(0.05, hip), figure.at(0.05 + swing, 0.04 + lift[1]), 0.15 * s, person.trousers)
    for side, away in ((-1, -swing), (1, swing)):
        canvas.ellipse(figure.at(side * 0.05 + away + 0.04 * (1 if sideways else 0), 0.04), 0.10 * s, 0.045 * s, (30, 28, 28))
    canvas.limb(
        figure.at(-broad * 0.9, shoulder - 0.03), figure.at(-broad - swing * 0.8 * (1 if sideways else 0.3), hip + 0.02), 0.09 * s, person.top
    )
    torso = [figure.at(-broad, shoulder), figure.at(broad, shoulder), figure.at(broad * 0.85, hip - 0.06), figure.at(-broad * 0.85, hip - 0.06)]
    canvas.polygon(torso, person.top)
    canvas.ellipse(figure.at(0, shoulder), broad * s, 0.07 * s, person.top)
    shade: Color = tuple(int(channel * 0.85) for channel in person.top)  # type: ignore[assignment]  # three channels stay three
    canvas.limb(figure.at(broad * 0.9, shoulder - 0.03), figure.at(broad + swing * 0.8 * (1 if sideways else 0.3), hip + 0.02), 0.09 * s, shade)
    canvas.limb(figure.at(0, shoulder), figure.at(0, neck + 0.03), 0.10 * s, person.skin)
    _head(canvas, figure, neck + 0.11, person.skin, person.hair, facing=sideways != 0)


def _draw_far(canvas: Canvas, figure: _Figure, person: Person, broad: float, swing: float) -> None:
    """Draw a distant pedestrian, only a few pixels high, as legs, trunk and head. `broad` and `swing`: half width and step, m."""
    h, s = person.height, figure.scale
    for side in (-1, 1):
        canvas.limb(figure.at(side * 0.05, 0.5 * h), figure.at(side * (0.05 + swing), 0.0), 0.16 * s, person.trousers)
    wide = broad + 0.04
    canvas.polygon([figure.at(-wide, 0.82 * h), figure.at(wide, 0.82 * h), figure.at(wide, 0.46 * h), figure.at(-wide, 0.46 * h)], person.top)
    canvas.ellipse(figure.at(0, 0.93 * h), 0.10 * s, 0.13 * s, person.hair)


def draw_bicyclist(canvas: Canvas, camera: Camera, place: Point3, person: Person, phase: float, turn: float, *, lamps: bool) -> None:
    """Draw a bicyclist from behind or from the front, with the wheels at `place` (camera coordinates, m). `phase`: angle of the pedals, radians.

    `turn` is the heading relative to the camera's, radians to the right.
    """
    figure = _Figure(camera, place, 1)
    s = figure.scale
    frame: Color = (60, 60, 66)
    towards = math.cos(turn) < 0
    for part in (-0.52, 0.52) if towards else (0.52, -0.52):  # the farther wheel first
        wheel = _Figure(camera, (place[0] + part * math.sin(turn), place[1], max(place[2] + part * math.cos(turn), 1.2)), 1)
        canvas.ellipse(wheel.at(0, 0.34), (0.045 + 0.3 * abs(math.sin(turn))) * wheel.scale, 0.34 * wheel.scale, (24, 24, 26))
    canvas.limb(figure.at(0, 0.45), figure.at(0, 0.95), 0.05 * s, frame)
    for side, pedal in ((-1, phase), (1, phase + math.pi)):
        foot = 0.30 + 0.15 * math.sin(pedal)
        knee = figure.at(side * 0.17, 0.66 + 0.10 * math.sin(pedal))
        canvas.limb(figure.at(side * 0.09, 0.98), knee, 0.14 * s, person.trousers)
        canvas.limb(knee, figure.at(side * 0.12, foot), 0.11 * s, person.trousers)
        canvas.ellipse(figure.at(side * 0.12, foot - 0.02), 0.07 * s, 0.04 * s, (30, 28, 28))
    canvas.ellipse(figure.at(0, 0.98), 0.17 * s, 0.10 * s, person.trousers)
    lean = 0.02 * math.sin(phase)
    for side in (-1, 1):
        canvas.limb(figure.at(side * 0.20 + lean, 1.42), figure.at(side * 0.29, 1.08), 0.09 * s, person.top)
    canvas.polygon([figure.at(-0.21 + lean, 1.46), figure.at(0.21 + lean, 1.46), figure.at(0.15, 0.98), figure.at(-0.15, 0.98)], person.top)
    canvas.ellipse(figure.at(lean, 1.46), 0.21 * s, 0.07 * s, person.top)
    if towards:
        canvas.limb(figure.at(-0.32, 1.06), figure.at(0.32, 1.06), 0.05 * s, frame)
    _head(canvas, figure, 1.63, person.skin, (220, 220, 214) if sum(person.hair) % 2 else (200, 60, 40), facing=towards)
    light, glow = ((240, 240, 230), (255, 250, 230)) if towards else ((200, 30, 26), (255, 30, 20))
    canvas.ellipse(figure.at(0, 0.72 if not towards else 0.98), 0.045 * s, 0.045 * s, light, glow=glow if lamps else None)


def _head(canvas: Canvas, figure: _Figure, up: float, skin: Color, hair: Color, *, facing: bool) -> None:
    s = figure.scale
    canvas.ellipse(figure.at(0, up), 0.095 * s, 0.125 * s, skin if facing else hair)
    if facing:
        canvas.ellipse(figure.at(-0.01, up + 0.06), 0.10 * s, 0.075 * s, hair)
    else:
        canvas.ellipse(figure.at(0, up - 0.10), 0.05 * s, 0.03 * s, skin)
