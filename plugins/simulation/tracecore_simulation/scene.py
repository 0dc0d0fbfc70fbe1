"""Drawing of one frame: the scene back to front, and boxes of all visible labeled objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracecore_simulation.camera import NEAR, NUMBERS, Camera, Canvas, Point3
from tracecore_simulation.cars import BODIES, draw_car
from tracecore_simulation.ego_frame import Cuboid, View, actor_cuboid, light_cuboid, sign_cuboid
from tracecore_simulation.ground import draw_ground, sky
from tracecore_simulation.lighting import Lamp, contrast_of, expose, linear_light
from tracecore_simulation.people import draw_bicyclist, draw_pedestrian
from tracecore_simulation.roadside import draw_building, draw_sign, draw_traffic_light, draw_tree
from tracecore_simulation.town import AHEAD, Actor, RoadSign, Town, TrafficLight

__all__ = ["CLASSES", "LEAST_CONTRAST", "Box", "Subject", "camera_of", "draw_frame", "subjects_of"]

_FAR = 95.0  # m: drawing distance of people and cars
_MOST = 180  # most subjects of a frame; houses and trees need numbers too


@dataclass(frozen=True, slots=True)
class Subject:
    """An object that may be labeled; `place` is its position in the camera's frame."""

    track: int
    category: str
    place: Point3
    draw: Callable[[], None]
    cuboid: Callable[[], Cuboid]
    state: str = ""


def subjects_of(canvas: Canvas, camera: Camera, view: View, *, dark: bool) -> list[Subject]:
    """Return the objects near enough to be drawn and labeled (road users, signs, traffic lights), far to near; `dark`: with lamps on."""
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


CLASSES = ("car", "pedestrian", "bicyclist", "sign", "traffic_light")
LEAST_CONTRAST = 1.25
"""Of `contrast_of`. Found by looking: in the beam of headlamps somebody in black is seen at 1.3 and is a smudge at 1.2; the grain of a night picture
alone gives a small object 1.15."""
_SEEN = 0.30  # least visible share of an object: with less, a labeler would have to guess the box
_SMALLEST = {"sign": 0.033, "traffic_light": 0.026}  # least height as a share of the picture's
_SMALLEST_OTHER = 0.048  # 13 px of 270: a smaller person is only a few blurred pixels
_NARROWEST, _FEWEST = 3, 18  # px: least width and number of pixels
_LEAST_SHARE, _LEAST_PIXELS = 0.5, 6  # share of the least height, px: smaller objects get no row at all


_SHADOW = tuple(  # a square with round corners
    (math.copysign(abs(math.cos(turn)) ** 0.55, math.cos(turn)), math.copysign(abs(math.sin(turn)) ** 0.55, math.sin(turn)))
    for turn in (step * math.tau / 12 for step in range(12))
)

_Scenery = tuple[float, npt.NDArray[np.float32], Callable[[], None]]
"""Distance of its far end, m; distance in each picture column, m; drawing function."""
_Turn = tuple[float, npt.NDArray[np.float32], int, Callable[[], None]]
"""Like `_Scenery`, with the object's number before the function."""


@dataclass(frozen=True, slots=True)
class Box:
    """A visible object, with its box in px around the visible pixels, and its cuboid in the vehicle's frame.

    Attributes:
        area: number of visible pixels.
        visible: share that is not hidden.
        contrast: contrast ratio to its surroundings, 1 (none) to 21 (`contrast_of`).
        ignore: whether a person could not label it: too small, too faint or mostly hidden.
        state: of a traffic light, else empty.
    """

    track: int
    category: str
    x: int
    y: int
    width: int
    height: int
    area: int
    visible: float
    contrast: float
    ignore: bool
    state: str
    cuboid: Cuboid


def camera_of(town: Town, size: tuple[int, int]) -> Camera:
    """Return the camera mounted for the drive through a town, for pictures of `size` (width, height) in px."""
    focal, _, horizon = town.mount.intrinsics(*size)
    return Camera(size[0], size[1], focal, horizon)


def draw_frame(
    town: Town, t: float, size: tuple[int, int], time_of_day: str, rng: np.random.Generator, weather: str = "clear"
) -> tuple[npt.NDArray[np.uint8], list[Box]]:
    """Return the camera's picture (height, width, 3) at time t (s), with noise from `rng`, and the boxes in it; `size` is (width, height), px."""
    width, height = size
    view = View(town, t)
    camera = camera_of(town, size)
    dark = time_of_day != "day"
    canvas = Canvas(width, height, glowing=dark)
    above = min(max(int(camera.horizon) + 2, 1), height)
    canvas.paint(sky(width // 2, above // 2 + 1, time_of_day, weather, town.seed, view.heading), above)  # clouds have no edges: half size will do
    draw_ground(canvas, camera, view)
    subjects = subjects_of(canvas, camera, view, dark=dark)
    shadow = {"day": 105, "dusk": 70, "night": 90}[time_of_day]
    _shadows(canvas, camera, subjects, strength=shadow if weather == "clear" else shadow * 2 // 3)
    lit = {"day": 0.0, "dusk": 0.25, "night": 0.4}[time_of_day]
    full, near = _draw_in_order(canvas, camera, view, subjects, dark=dark, lit=lit)
    depth = _depth(canvas, camera, near)
    picture = expose(canvas.colors(), canvas.glows(), depth, camera, town.mount, time_of_day, weather, _lamps(camera, view, dark=dark), rng)
    return picture, _boxes(canvas.marked(), picture, full, subjects)


def _shadows(canvas: Canvas, camera: Camera, subjects: list[Subject], strength: int) -> None:
    """Draw a soft shadow under each near object, in the shape of its cuboid's footprint."""
    for subject in subjects:
        if subject.category in ("sign", "traffic_light") or subject.place[2] > 70:
            continue
        cuboid = subject.cuboid()
        yaw = 2 * math.atan2(cuboid[5], cuboid[6])
        cos, sin = math.cos(yaw), math.sin(yaw)
        for wider, share in ((1.22, 0.45), (1.04, 0.75)) if subject.place[2] < 28 else ((1.12, 1.0),):
            long, wide = cuboid[7] / 2 * wider, cuboid[8] / 2 * wider
            x, _, z = subject.place
            ring = [(x - long * ahead * sin - wide * left * cos, 0.0, z + long * ahead * cos - wide * left * sin) for ahead, left in _SHADOW]
            canvas.polygon(camera.polygon(ring), (12, 12, 16), alpha=int(strength * share), inside=True)


def _draw_in_order(
    canvas: Canvas, camera: Camera, view: View, subjects: list[Subject], *, dark: bool, lit: float
) -> tuple[list[int], npt.NDArray[np.float32]]:
    """Draw subjects (numbered from 1) and houses, trees and lamps (the numbers after them), far to near.

    Return (number of each subject's pixels before nearer things hid it, distance of each object in each picture column, m), indexed by number.
    """
    order: list[_Turn] = [
        (subject.place[2], np.full(1, subject.place[2], dtype=np.float32), number, subject.draw) for number, subject in enumerate(subjects, 1)
    ]
    scenery = [*_trees(canvas, camera, view, dark=dark), *_houses(canvas, camera, view, lit=lit)]
    order += [(far, depth, number, draw) for number, (far, depth, draw) in enumerate(scenery[: NUMBERS - len(order)], len(order) + 1)]
    full, near = [0] * (len(order) + 1), np.zeros((len(order) + 1, canvas.width), dtype=np.float32)
    for _, depth, number, draw in sorted(order, key=lambda turn: (-turn[0], turn[2])):
        near[number] = depth
        canvas.begin(number)
        draw()
        if number <= len(subjects):
            full[number] = canvas.count()
    canvas.begin(0)
    return full, near


def _trees(canvas: Canvas, camera: Camera, view: View, *, dark: bool) -> Iterator[_Scenery]:
    for tree in view.town.trees:
        x, _, z = view(tree.lateral, tree.along)
        if 2.0 < z < AHEAD and abs(x) < z * 0.62 + 4:
            yield z, np.full(1, z, dtype=np.float32), lambda tree=tree: draw_tree(canvas, camera, view, tree, lamps=dark)  # type: ignore[misc]  # the default argument binds this turn's tree


def _houses(canvas: Canvas, camera: Camera, view: View, *, lit: float) -> Iterator[_Scenery]:
    """Yield (distance of its far end, m; distance of its front in each picture column, m; function that draws it) for each house ahead."""
    ratio = (np.arange(canvas.width, dtype=np.float32) + 0.5 - canvas.width / 2) / camera.focal
    for house in view.town.buildings:
        if house.end <= view.along or house.start >= view.along + AHEAD:
            continue
        (x0, _, z0), (x1, _, z1) = (
            view(house.side * house.setback, along) for along in (max(house.start, view.along), min(house.end, view.along + AHEAD))
        )
        if max(z0, z1) < NEAR or (min(abs(x0) - 0.62 * z0, abs(x1) - 0.62 * z1) > 14 and x0 * x1 > 0):
            continue
        across = (x1 - x0) - ratio * (z1 - z0)
        part = np.clip((ratio * z0 - x0) / np.where(np.abs(across) < 1e-6, 1e-6, across), 0, 1)
        yield max(z0, z1), np.maximum(z0 + part * (z1 - z0), 3.0), lambda house=house: draw_building(canvas, camera, view, house, lit=lit)  # type: ignore[misc]  # the default argument binds this turn's house


def _depth(canvas: Canvas, camera: Camera, near: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the distance of what each pixel shows, m; 0 for the sky. `near`: distance of each object, [object number, picture column], m."""
    rows = np.arange(canvas.height, dtype=np.float32)[:, None]
    marked = canvas.marked()
    road = np.where(rows > camera.horizon + 1, camera.focal * camera.eye / np.maximum(rows - camera.horizon, 1), 400.0).astype(np.float32)
    depth = np.where(marked > 0, near[marked, np.arange(canvas.width)[None, :]], road)
    return np.asarray(np.where(canvas.sky(), 0.0, depth), dtype=np.float32)


def _lamps(camera: Camera, view: View, *, dark: bool) -> list[Lamp]:
    found = []
    for tree in view.town.trees if dark else ():
        place = view(tree.lateral - math.copysign(1.3, tree.lateral), tree.along)
        if tree.lamp and 3 < place[2] < 90:
            u, v = camera.project(place)
            found.append(Lamp(u, v, camera.focal * 4.2 / place[2], 0.42))
    return found


def _boxes(marked: npt.NDArray[np.uint8], picture: npt.NDArray[np.uint8], full: list[int], subjects: list[Subject]) -> list[Box]:
    """Return the subjects' boxes, except tiny ones. `marked`: subject number by pixel; `full`: pixel count before nearer things hid it, by number."""
    found = []
    light = linear_light(picture)
    flat = marked.ravel()
    pixels = np.flatnonzero((flat > 0) & (flat <= len(subjects)))
    pixels = pixels[np.argsort(flat[pixels], kind="stable")]
    rows, columns = np.divmod(pixels, marked.shape[1])
    stops = np.cumsum(np.bincount(flat[pixels], minlength=len(subjects) + 1))
    for number, subject in enumerate(subjects, 1):
        own = slice(stops[number - 1], stops[number])
        area = own.stop - own.start
        if area < _LEAST_PIXELS:
            continue
        x, y = int(columns[own].min()), int(rows[own].min())
        w, h = int(columns[own].max()) - x + 1, int(rows[own].max()) - y + 1
        smallest = len(marked) * _SMALLEST.get(subject.category, _SMALLEST_OTHER)
        if h < _LEAST_SHARE * smallest:
            continue
        visible = float(min(area / max(full[number], 1), 1.0))
        contrast = contrast_of(light, rows[own], columns[own], (x, y, w, h))
        small = h < smallest or w < _NARROWEST or area < _FEWEST
        ignore = bool(small or visible < _SEEN or contrast < LEAST_CONTRAST)
        found.append(
            Box(subject.track, subject.category, x, y, w, h, int(area), round(visible, 2), contrast, ignore, subject.state, subject.cuboid())
        )
    return sorted(found, key=lambda box: (box.category, box.track))
