"""Everything that is labeled, seen from the camera: where it is, how it is drawn, and its cuboid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracecore_simulation.camera import Camera, Point3
from tracecore_simulation.canvas import Canvas
from tracecore_simulation.cars import BODIES, draw_car
from tracecore_simulation.people import draw_bicyclist, draw_pedestrian
from tracecore_simulation.roadside import draw_sign
from tracecore_simulation.shapes import Cuboid, actor_cuboid, light_cuboid, sign_cuboid
from tracecore_simulation.town import AHEAD, Actor, RoadSign, TrafficLight
from tracecore_simulation.traffic_light import draw_traffic_light
from tracecore_simulation.view import View

__all__ = ["Subject", "subjects_of"]

_FAR = 95.0  # m: people and cars further away are not drawn
_MOST = 180  # subjects of one frame: houses and trees need numbers too


@dataclass(frozen=True, slots=True)
class Subject:
    """One object that may be labeled; `place` is where it stands, as the camera sees it."""

    track: int
    category: str
    place: Point3
    draw: Callable[[], None]
    cuboid: Callable[[], Cuboid]
    state: str = ""


def subjects_of(canvas: Canvas, camera: Camera, view: View, *, dark: bool) -> list[Subject]:
    """Find everything to be labeled, far to near.

    Args:
        canvas: what their `draw` draws on.
        camera: from where.
        view: of the town at a moment.
        dark: whether lamps are on.
    """
    found: list[Subject] = []
    for actor in view.town.actors:
        across, along = actor.place(view.t)
        place = view(across, along)
        if 1.5 < place[2] < _FAR and abs(place[0]) < place[2] * 0.62 + 3.5:
            found.append(_of_actor(canvas, camera, view, actor, place, dark=dark))
    for sign in view.town.signs:
        place = view(sign.lateral, sign.along)
        if 2.5 < place[2] < AHEAD * 0.6:
            found.append(_of_sign(canvas, camera, view, sign, place))
    for light in view.town.lights:
        place = view(light.lateral, light.along)
        if 2.5 < place[2] < AHEAD * 0.8:
            found.append(_of_light(canvas, camera, view, light, place))
    found.sort(key=lambda subject: (-subject.place[2], subject.track))
    return found[-_MOST:]


def _of_sign(canvas: Canvas, camera: Camera, view: View, sign: RoadSign, place: Point3) -> Subject:
    return Subject(sign.track, "sign", place, lambda: draw_sign(canvas, camera, view, sign), lambda: sign_cuboid(view, sign))


def _of_light(canvas: Canvas, camera: Camera, view: View, light: TrafficLight, place: Point3) -> Subject:
    return Subject(
        light.track,
        "traffic_light",
        place,
        lambda: draw_traffic_light(canvas, camera, view, light),
        lambda: light_cuboid(view, light),
        light.signal.state(view.t),
    )


def _of_actor(canvas: Canvas, camera: Camera, view: View, actor: Actor, place: Point3, *, dark: bool) -> Subject:
    return Subject(actor.track, actor.category, place, _drawing(canvas, camera, view, actor, place, dark=dark), lambda: actor_cuboid(view, actor))


def _drawing(canvas: Canvas, camera: Camera, view: View, actor: Actor, place: Point3, *, dark: bool) -> Callable[[], None]:
    turn = view.turn(actor.place(view.t)[1], actor.turned)
    if actor.category == "car":
        parked = len(actor.motion.speeds) == 1 and not actor.crossing
        lamps = dark and not parked
        return lambda: draw_car(canvas, camera, place, turn, BODIES[actor.body], actor.paint, braking=actor.braking(view.t), lamps=lamps)
    assert actor.person is not None
    person, speed = actor.person, actor.speed(view.t)
    if actor.category == "bicyclist":
        pedals = actor.phase + (view.t * 5.5 if speed > 0.5 else 0.0)
        return lambda: draw_bicyclist(canvas, camera, place, person, pedals, turn, lamps=dark)
    steps = actor.phase + (view.t * 6.5 if speed > 0 else 0.0)
    return lambda: draw_pedestrian(canvas, camera, place, person, steps, float(np.sign(actor.crossing)))
