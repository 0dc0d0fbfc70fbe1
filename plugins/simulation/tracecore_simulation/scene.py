"""One frame: the scene drawn back to front, and the boxes that an annotator would draw on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracecore_simulation.camera import Camera, Point3
from tracecore_simulation.canvas import Canvas
from tracecore_simulation.cars import BODIES, draw_car
from tracecore_simulation.ground import draw_ground, sky
from tracecore_simulation.light import Lamp, expose
from tracecore_simulation.people import draw_bicyclist, draw_pedestrian
from tracecore_simulation.roadside import draw_building, draw_sign, draw_tree
from tracecore_simulation.world import AHEAD, Actor, View, World

__all__ = ["Box", "draw_frame"]

FAR = 95.0  # m: people and cars further away are not drawn
_SEEN = 0.30  # of an object must be visible to be labeled
_REACH = {"sign": 45.0, "pedestrian": 50.0, "bicyclist": 55.0, "car": 75.0}  # m
_REACH_AT_NIGHT = {"sign": 38.0, "pedestrian": 32.0, "bicyclist": 45.0, "car": 60.0}  # m: what lies in the dark can't be labeled


@dataclass(frozen=True, slots=True)
class Box:
    """A labeled object: the box around what is visible of it, whole px; `visible` is the share of it that is not hidden."""

    track: int
    category: str
    x: int
    y: int
    width: int
    height: int
    area: int
    visible: float


@dataclass(frozen=True, slots=True)
class _Subject:
    track: int
    category: str
    place: Point3
    draw: Callable[[], None]


def draw_frame(world: World, t: float, size: tuple[int, int], time_of_day: str, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], list[Box]]:
    """Draw what the camera sees at a moment.

    Args:
        world: of the drive.
        t: seconds since its start.
        size: (width, height) in px.
        time_of_day: day, dusk or night.
        rng: for the grain of the picture.

    Returns:
        The picture (height, width, 3) and the boxes on it.
    """
    width, height = size
    view = View(world, t)
    pitch = 0.0025 * math.sin(t * 5.1) + 0.0015 * math.sin(t * 11.3)
    camera = Camera(width, height, world.mount.focal * width, height * world.mount.horizon + pitch * width)
    dark = time_of_day != "day"
    canvas = Canvas(width, height, glowing=dark)
    canvas.paint(sky(width, height, camera.horizon, time_of_day, view.world.seed, view.heading))
    draw_ground(canvas, camera, view)
    lit = {"day": 0.0, "dusk": 0.25, "night": 0.4}[time_of_day]
    for house in sorted(view.world.buildings, key=lambda house: -house.start):
        if house.end > view.along and house.start < view.along + AHEAD:
            draw_building(canvas, camera, view, house, lit=lit)
    subjects = _subjects(canvas, camera, view, dark=dark)
    _shadows(canvas, camera, subjects, strength={"day": 105, "dusk": 70, "night": 90}[time_of_day])
    full, near = _draw_in_order(canvas, camera, view, subjects, dark=dark)
    depth = _depth(canvas, camera, near)
    picture = expose(canvas.colors(), canvas.glows(), depth, camera, world.mount, time_of_day, _lamps(camera, view, dark=dark), rng)
    reach = _REACH_AT_NIGHT if time_of_day == "night" else _REACH
    return picture, _boxes(canvas.marked(), full, [None, *subjects], reach, height)


def _subjects(canvas: Canvas, camera: Camera, view: View, *, dark: bool) -> list[_Subject]:
    """Find everything to be labeled, with how to draw it, far to near."""
    found: list[_Subject] = []
    for actor in view.world.actors:
        across, along = actor.place(view.t)
        place = view(across, along)
        if 1.5 < place[2] < FAR and abs(place[0]) < place[2] * 0.75 + 3:
            found.append(_Subject(actor.track, actor.category, place, _drawing(canvas, camera, view, actor, place, dark=dark)))
    for sign in view.world.signs:
        place = view(sign.lateral, sign.along)
        if 2.5 < place[2] < AHEAD * 0.6:
            found.append(_Subject(sign.track, "sign", place, lambda sign=sign: draw_sign(canvas, camera, view, sign)))  # type: ignore[misc]  # the default argument binds this turn's sign
    found.sort(key=lambda subject: (-subject.place[2], subject.track))
    return found[-250:]  # ids are bytes


def _drawing(canvas: Canvas, camera: Camera, view: View, actor: Actor, place: Point3, *, dark: bool) -> Callable[[], None]:
    along = actor.place(view.t)[1]
    turn = view.world.road.heading(along) - view.heading
    if actor.category == "car":
        heading = turn + (math.pi if actor.speed < 0 or (actor.speed == 0 and actor.lateral * view.world.ego.side < 0) else 0.0)
        braking = actor.speed > 0 and math.cos(view.t / view.world.ego.rhythm) < -0.3
        return lambda: draw_car(canvas, camera, place, heading, BODIES[actor.body], actor.paint, braking=braking, lamps=dark and actor.speed != 0)
    assert actor.person is not None
    person = actor.person
    if actor.category == "bicyclist":
        return lambda: draw_bicyclist(canvas, camera, place, person, actor.phase + view.t * 5.5, towards=actor.speed < 0, lamps=dark)
    return lambda: draw_pedestrian(canvas, camera, place, person, actor.phase + view.t * 6.5, float(np.sign(actor.crossing)))


def _shadows(canvas: Canvas, camera: Camera, subjects: list[_Subject], strength: int) -> None:
    for subject in subjects:
        if subject.category == "sign" or subject.place[2] > 70:
            continue
        wide, deep = (1.15, 2.3) if subject.category == "car" else (0.34, 0.22)
        x, _, z = subject.place
        ring = [(x + wide * math.cos(a), 0.0, z + deep * math.sin(a)) for a in np.linspace(0, math.tau, 18, endpoint=False)]
        canvas.polygon(camera.polygon(ring), (12, 12, 16), alpha=strength, mark=False)


def _draw_in_order(canvas: Canvas, camera: Camera, view: View, subjects: list[_Subject], *, dark: bool) -> tuple[list[int], list[float]]:
    """Draw subjects, trees and lamps far to near; give each subject's pixels before anything hid it, and its distance (index 0 is scenery)."""
    full, near = [0] * (len(subjects) + 1), [0.0] * (len(subjects) + 1)
    order: list[tuple[float, int, Callable[[], None]]] = []
    for number, subject in enumerate(subjects, 1):
        near[number] = subject.place[2]
        order.append((subject.place[2], number, subject.draw))
    for tree in view.world.trees:
        z = view(tree.lateral, tree.along)[2]
        order.append((z, 0, lambda tree=tree: draw_tree(canvas, camera, view, tree, lamps=dark)))  # type: ignore[misc]  # the default argument binds this turn's tree
    for _, number, draw in sorted(order, key=lambda entry: (-entry[0], entry[1])):
        canvas.subject = number
        draw()
        if number:
            full[number] = canvas.count(number)
    canvas.subject = 0
    return full, near


def _depth(canvas: Canvas, camera: Camera, near: list[float]) -> npt.NDArray[np.float32]:
    """Give the distance of each pixel: of the object it shows, else of the road or the house fronts; 0 for the sky, which has no haze before it."""
    rows = np.arange(canvas.height, dtype=np.float32)[:, None]
    columns = np.arange(canvas.width, dtype=np.float32)[None, :]
    road = np.where(rows > camera.horizon + 1, camera.focal * camera.eye / np.maximum(rows - camera.horizon, 1), 400.0)
    fronts = camera.focal * 9.0 / np.maximum(np.abs(columns - canvas.width / 2), 1.0)
    depth = np.minimum(road, np.maximum(fronts, 4.0))
    marked = canvas.marked()
    depth = np.where(marked > 0, np.asarray(near, dtype=np.float32)[marked], depth)
    return np.asarray(np.where(canvas.sky(), 0.0, depth), dtype=np.float32)


def _lamps(camera: Camera, view: View, *, dark: bool) -> list[Lamp]:
    found = []
    for tree in view.world.trees if dark else ():
        place = view(tree.lateral - math.copysign(1.3, tree.lateral), tree.along)
        if tree.lamp and 3 < place[2] < 90:
            u, v = camera.project(place)
            found.append(Lamp(u, v, camera.focal * 4.2 / place[2], 0.42))
    return found


def _boxes(marked: npt.NDArray[np.uint8], full: list[int], subjects: list[_Subject | None], reach: dict[str, float], height: int) -> list[Box]:
    """Box what is visible; leave out what is too small, too far, or mostly hidden, as annotators would."""
    found = []
    all_rows, all_columns = np.nonzero(marked)
    numbers = marked[all_rows, all_columns]
    for number, subject in enumerate(subjects):
        if subject is None or subject.place[2] > reach[subject.category] or not full[number]:
            continue
        rows, columns = all_rows[numbers == number], all_columns[numbers == number]
        if not len(rows):
            continue
        x, y = int(columns.min()), int(rows.min())
        w, h = int(columns.max()) - x + 1, int(rows.max()) - y + 1
        visible = len(rows) / full[number]
        smallest = height * (0.033 if subject.category == "sign" else 0.048)
        if visible >= _SEEN and h >= smallest and w >= 4 and len(rows) >= 20:
            found.append(Box(subject.track, subject.category, x, y, w, h, len(rows), round(visible, 2)))
    return sorted(found, key=lambda box: (box.category, box.track))
