"""Drawing of houses, trees, street lamps, signs and traffic lights."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tracecore_simulation.camera import Camera, Canvas, Color, Point2, Point3
from tracecore_simulation.ego_frame import HEAD, View
from tracecore_simulation.town import AHEAD, Building, RoadSign, TrafficLight, Tree

__all__ = ["draw_building", "draw_sign", "draw_traffic_light", "draw_tree", "lamp_head", "lamp_offset"]

_LIT: dict[str, Color] = {"red": (255, 52, 36), "yellow": (255, 196, 40), "green": (60, 255, 150)}
_OFF: dict[str, Color] = {"red": (74, 22, 20), "yellow": (74, 58, 20), "green": (16, 62, 44)}
_HOUSING: Color = (30, 32, 34)
_BOARD: Color = (44, 47, 48)
_RIM: Color = (206, 206, 200)
_STEEL: Color = (96, 100, 102)
_LENS = 0.15  # m
_APART = 0.36  # m between the middles of two lamps


def lamp_offset(light: TrafficLight, color: str) -> tuple[float, float]:
    """Return how far the lamp of a color is to the right of and below the center of its traffic light's head, m."""
    step = {"red": -1, "yellow": 0, "green": 1}[color] * _APART
    if not light.lying:
        return 0.0, step
    return (-step if light.lateral < 0 else step), 0.0  # red is closest to the middle of the road


def draw_traffic_light(canvas: Canvas, camera: Camera, view: View, light: TrafficLight) -> None:
    """Draw a traffic light with its lit lamp; only the head counts as the labeled object, not post and arm."""
    place = view(light.lateral, light.along, light.high)
    scale = camera.focal / place[2]
    middle = camera.project(place)
    subject, canvas.subject = canvas.subject, 0
    post = view(light.post, light.along)
    foot, top = camera.project(post), camera.project((post[0], light.high + 0.25, post[2]))
    canvas.limb(foot, top, max(0.15 * scale, 0.8), _STEEL)
    if light.post != light.lateral:
        canvas.limb(top, camera.project((place[0], light.high + 0.25, place[2])), max(0.12 * scale, 0.7), _STEEL)
    canvas.subject = subject
    _, wide, high = HEAD if not light.lying else (HEAD[0], HEAD[2], HEAD[1])

    def plate(part: float, color: Color) -> None:
        du, dv = wide / 2 * scale * part, high / 2 * scale * part
        canvas.polygon(
            [(middle[0] - du, middle[1] - dv), (middle[0] + du, middle[1] - dv), (middle[0] + du, middle[1] + dv), (middle[0] - du, middle[1] + dv)],
            color,
        )

    plate(1.0, _RIM if scale > 16 else _BOARD)
    plate(0.94, _BOARD)
    state = light.signal.state(view.t)
    for color, shining in _LIT.items():
        aside, down = lamp_offset(light, color)
        center = (middle[0] + aside * scale, middle[1] + down * scale)
        radius = max(_LENS * scale, 0.55)
        canvas.ellipse(center, radius * 1.12, radius * 1.12, _HOUSING, inside=True)
        lit = color == state
        canvas.ellipse(center, radius, radius, shining if lit else _OFF[color], glow=shining if lit else None, inside=True)
        if lit:
            canvas.ellipse(center, radius * 0.5, radius * 0.5, _bright(shining), glow=_bright(shining), inside=True)


def _bright(color: Color) -> Color:
    r, g, b = ((channel + 255) // 2 for channel in color)
    return r, g, b


_WARM: Color = (255, 214, 140)
_FAR_WINDOWS = 60.0  # m: windows farther away are too small to draw


def _tint(color: Color, factor: float) -> Color:
    r, g, b = (max(0, min(255, int(channel * factor))) for channel in color)
    return r, g, b


def draw_building(canvas: Canvas, camera: Camera, view: View, house: Building, *, lit: float) -> None:
    """Draw a house: front with windows, side wall and roof edge; `lit` is the share of lit windows."""
    start, end = max(house.start, view.along - 2), min(house.end, view.along + AHEAD)
    if end <= start:
        return

    def at(along: float, up: float, back: float = 0.0) -> Point3:
        return view(house.side * (house.setback + back), along, up)

    front = _tint(house.wall, 1.04 if house.side < 0 else 0.82)
    if house.start >= start:
        side = [at(start, 0), at(start, house.height), at(start, house.height, 9), at(start, 0, 9)]
        canvas.polygon(camera.polygon(side), _tint(house.wall, 0.70))
    canvas.polygon(camera.polygon([at(start, 0), at(start, house.height), at(end, house.height), at(end, 0)]), front)
    canvas.polygon(camera.polygon([at(start, 0), at(start, 0.7), at(end, 0.7), at(end, 0)]), _tint(front, 0.72), inside=True)
    canvas.polygon(
        camera.polygon([at(start, house.height - 0.35), at(start, house.height), at(end, house.height), at(end, house.height - 0.35)]),
        _tint(front, 0.6),
        inside=True,
    )
    rng = np.random.default_rng(house.seed)
    floors = int(house.height / 3.0)
    bays = max(1, int((house.end - house.start) / 2.6))
    pitch = (house.end - house.start) / bays
    door = int(rng.integers(bays))
    lights = rng.random((floors, bays))
    shop = rng.random() < 0.35
    for bay in range(bays):
        left = house.start + (bay + 0.22) * pitch
        right = house.start + (bay + 0.78) * pitch
        (x, _, near), (_, _, far) = at(left, 0), at(right, 0)
        if far < 1.5 or near > _FAR_WINDOWS or abs(x) > 0.62 * far + 4:
            continue
        for floor in range(floors):
            low, high = floor * 3.0 + (0.0 if floor == 0 and bay == door else 0.5 if floor == 0 and shop else 1.1), floor * 3.0 + 2.5
            glow = _tint(_WARM, 0.35 + 0.6 * float(lights[floor, bay])) if lights[floor, bay] < lit else None
            pane: Color = (70, 52, 40) if floor == 0 and bay == door else (62, 74, 88)
            canvas.polygon(camera.polygon([at(left, low), at(left, high), at(right, high), at(right, low)]), pane, glow=glow, inside=True)
            if near < 30 and pane[0] == 62:
                sash = (left + right) / 2
                canvas.polygon(
                    camera.polygon([at(sash - 0.05, low), at(sash - 0.05, high), at(sash + 0.05, high), at(sash + 0.05, low)]),
                    (206, 202, 194),
                    inside=True,
                )


def draw_tree(canvas: Canvas, camera: Camera, view: View, tree: Tree, *, lamps: bool) -> None:
    """Draw a tree, or a street lamp that is on if `lamps` is set."""
    place = view(tree.lateral, tree.along)
    if place[2] < 2.0 or place[2] > AHEAD:
        return
    foot, scale = camera.project(place), camera.focal / place[2]
    if tree.lamp:
        head = lamp_head(camera, place, tree)
        canvas.limb(foot, (foot[0], head[1]), max(0.12 * scale, 0.7), (74, 78, 80))
        canvas.limb((foot[0], head[1]), head, max(0.09 * scale, 0.6), (74, 78, 80))
        canvas.ellipse(head, 0.32 * scale, 0.10 * scale, (200, 200, 190), glow=(255, 236, 190) if lamps else None)
        return
    top = camera.project((place[0], tree.height, place[2]))
    canvas.limb(foot, (foot[0], (foot[1] + top[1]) / 2), 0.28 * scale, (82, 64, 50))
    rng = np.random.default_rng(tree.seed)
    green = np.asarray([52, 84, 42]) + rng.integers(-14, 22, 3)
    blobs = 5 if place[2] > 60 else 9 if place[2] > 30 else 18
    for step in range(blobs):
        angle, away = rng.uniform(0, math.tau), math.sqrt(rng.uniform(0, 1)) * 0.34 * tree.height
        u = foot[0] + math.cos(angle) * away * scale * 0.85
        v = foot[1] - (tree.height * 0.66 + math.sin(angle) * away * 0.75) * scale
        tone = 0.72 + 0.5 * step / blobs
        radius = rng.uniform(0.13, 0.22) * tree.height * scale
        r, g, b = (int(max(0, min(255, channel * tone))) for channel in green)
        canvas.ellipse((u - radius * 0.1, v), radius, radius * 0.85, (r, g, b))
    if place[2] < 24:  # near enough for visible leaves
        _leaves(canvas, foot, tree, scale, green, rng)


def _leaves(canvas: Canvas, foot: Point2, tree: Tree, scale: float, green: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """Draw tufts of leaves on a tree's crown, brighter towards its top."""
    for angle, away, size, tone in rng.random((32, 4)).tolist():
        out = math.sqrt(away) * 0.37 * tree.height
        rise = math.sin(angle * math.tau)
        u = foot[0] + math.cos(angle * math.tau) * out * scale * 0.9
        v = foot[1] - (tree.height * 0.66 + rise * out * 0.78) * scale
        radius = (0.028 + 0.035 * size) * tree.height * scale
        bright = 0.78 + 0.34 * tone + 0.30 * rise * away
        r, g, b = (int(max(0, min(255, channel * bright))) for channel in green)
        canvas.ellipse((u, v), radius, radius * 0.75, (r, g, b))


def lamp_head(camera: Camera, place: Point3, tree: Tree) -> Point2:
    """Return the pixel (u, v) of the lamp of a street lamp at `place` (camera coordinates, m); the lamp hangs over the road."""
    return camera.project((place[0] - math.copysign(1.3, tree.lateral), tree.height, place[2]))


def draw_sign(canvas: Canvas, camera: Camera, view: View, sign: RoadSign) -> None:
    """Draw a sign; only the plate counts as the labeled object, not the post."""
    place = view(sign.lateral, sign.along)
    scale = camera.focal / place[2]
    foot = camera.project(place)
    u, v = camera.project((place[0], sign.high, place[2]))
    subject, canvas.subject = canvas.subject, 0
    canvas.limb(foot, (u, v), max(0.08 * scale, 0.6), (120, 122, 124))
    canvas.subject = subject
    r = sign.size / 2 * scale
    red, white, blue, green = (190, 30, 34), (236, 236, 232), (34, 78, 168), (24, 104, 66)

    def corners(count: int, radius: float, turn: float) -> list[Point2]:
        return [
            (u + radius * math.cos(turn + step * math.tau / count), v + radius * math.sin(turn + step * math.tau / count)) for step in range(count)
        ]

    if sign.shape == "limit":
        canvas.ellipse((u, v), r, r, red)
        canvas.ellipse((u, v), r * 0.74, r * 0.74, white)
        canvas.polygon(
            [(u - r * 0.42, v - r * 0.35), (u - r * 0.1, v - r * 0.35), (u - r * 0.1, v + r * 0.35), (u - r * 0.42, v + r * 0.35)], (30, 30, 30)
        )
        canvas.ellipse((u + r * 0.25, v), r * 0.2, r * 0.36, (30, 30, 30))
    elif sign.shape == "warning":
        canvas.polygon(corners(3, r * 1.15, -math.pi / 2), red)
        canvas.polygon(corners(3, r * 0.72, -math.pi / 2), white)
        canvas.limb((u, v - r * 0.35), (u, v + r * 0.25), r * 0.16, (30, 30, 30))
    elif sign.shape == "blue":
        canvas.ellipse((u, v), r, r, white)
        canvas.ellipse((u, v), r * 0.92, r * 0.92, blue)
        canvas.limb((u, v + r * 0.5), (u, v - r * 0.1), r * 0.26, white)
        canvas.polygon([(u - r * 0.42, v), (u, v - r * 0.58), (u + r * 0.42, v)], white)
    elif sign.shape == "stop":
        canvas.polygon(corners(8, r * 1.05, math.pi / 8), white)
        canvas.polygon(corners(8, r * 0.95, math.pi / 8), red)
        canvas.limb((u - r * 0.6, v), (u + r * 0.6, v), r * 0.34, white)
    else:
        plate = [(u - r, v - r * 0.55), (u + r, v - r * 0.55), (u + r, v + r * 0.55), (u - r, v + r * 0.55)]
        canvas.polygon(plate, white)
        canvas.polygon([(u + (a - u) * 0.92, v + (b - v) * 0.88) for a, b in plate], green)
        for row in (-0.22, 0.16):
            canvas.limb((u - r * 0.7, v + r * row), (u + r * (0.6 + row), v + r * row), r * 0.15, white)
