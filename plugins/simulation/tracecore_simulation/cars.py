"""Drawing of cars: shaded 3D faces with windows, wheels and lights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tracecore_simulation.camera import Camera, Canvas, Color, Point3

__all__ = ["BODIES", "CarBody", "draw_car"]

_GLASS: Color = (38, 48, 58)
_REFLECTION: Color = (66, 80, 94)  # the sky in a window
_TIRE: Color = (22, 22, 24)
_HUB: Color = (120, 122, 126)
_PLATE: Color = (226, 226, 220)
_BUMPER: Color = (40, 40, 44)
_TOO_FINE = (_REFLECTION, _PLATE, _BUMPER)  # colors of details that are not drawn far away
_SUN = (0.45, 0.75, -0.48)  # direction to the sun: right, above, behind the camera


@dataclass(frozen=True, slots=True)
class CarBody:
    """The shape of a car, m.

    `cabin` has the z of its windows as shares of the length: rear foot, rear edge of the roof, front edge of the roof, front foot.
    """

    length: float
    width: float
    height: float
    belt: float
    cabin: tuple[float, float, float, float]


BODIES: dict[str, CarBody] = {
    "hatchback": CarBody(4.0, 1.75, 1.48, 0.92, (-0.49, -0.40, 0.08, 0.26)),
    "sedan": CarBody(4.6, 1.82, 1.45, 0.90, (-0.36, -0.22, 0.08, 0.24)),
    "suv": CarBody(4.5, 1.90, 1.72, 1.05, (-0.49, -0.43, 0.10, 0.24)),
    "van": CarBody(5.0, 2.0, 2.15, 1.15, (-0.50, -0.49, 0.22, 0.38)),
}


@dataclass(slots=True)
class _Face:
    corners: list[Point3]
    color: Color
    details: list[tuple[list[Point3], Color, Color | None]] = field(default_factory=list)


def _shade(color: Color, normal: Point3) -> Color:
    light = 0.62 + 0.45 * max(0.0, sum(a * b for a, b in zip(normal, _SUN, strict=True)))
    r, g, b = (min(255, int(channel * light)) for channel in color)
    return r, g, b


def _faces(body: CarBody, paint: Color, *, braking: bool, lamps: bool) -> list[_Face]:
    """Return the faces (polygons with a color and details) of a car that points along +z, centered at the origin."""
    half, w, top, low, belt = body.length / 2, body.width / 2, body.height, 0.28, body.belt
    foot_r, roof_r, roof_f, foot_f = (part * body.length for part in body.cabin)
    inner = w * 0.80
    red: Color = (255, 40, 30) if braking else (150, 16, 18)
    tail_glow: Color | None = ((255, 50, 40) if braking else (150, 12, 10)) if lamps else None
    head_glow: Color | None = (255, 250, 235) if lamps else None
    rear = _Face([(-w, low, -half), (w, low, -half), (w, belt, -half), (-w, belt, -half)], paint)
    front = _Face([(w, low, half), (-w, low, half), (-w, belt * 0.82, half), (w, belt * 0.82, half)], paint)
    for side in (-1, 1):
        lamp = [(side * w * 0.96, belt * 0.94, -half), (side * w * 0.62, belt * 0.94, -half), (side * w * 0.62, belt * 0.72, -half)]
        rear.details.append(([*lamp, (side * w * 0.96, belt * 0.72, -half)], red, tail_glow))
        lamp = [(side * w * 0.94, belt * 0.74, half), (side * w * 0.56, belt * 0.74, half), (side * w * 0.60, belt * 0.56, half)]
        front.details.append(([*lamp, (side * w * 0.94, belt * 0.58, half)], (238, 240, 236), head_glow))
    rear.details.append(([(-w, low, -half), (w, low, -half), (w, low + 0.2, -half), (-w, low + 0.2, -half)], _BUMPER, None))
    rear.details.append(([(-0.26, 0.52, -half), (0.26, 0.52, -half), (0.26, 0.64, -half), (-0.26, 0.64, -half)], _PLATE, None))
    front.details.append(([(w, low, half), (-w, low, half), (-w, low + 0.16, half), (w, low + 0.16, half)], _BUMPER, None))
    front.details.append(([(0.5, 0.44, half), (-0.5, 0.44, half), (-0.5, 0.64, half), (0.5, 0.64, half)], (34, 34, 38), None))
    hood = _Face([(-w, belt, foot_f), (w, belt, foot_f), (w, belt * 0.82, half), (-w, belt * 0.82, half)], paint)
    trunk = _Face([(-w, belt, -half), (w, belt, -half), (w, belt, foot_r), (-w, belt, foot_r)], paint)
    roof = _Face([(-inner, top, roof_r), (inner, top, roof_r), (inner, top, roof_f), (-inner, top, roof_f)], paint)
    back = _Face([(-w * 0.96, belt, foot_r), (w * 0.96, belt, foot_r), (inner, top, roof_r), (-inner, top, roof_r)], paint)
    wind = _Face([(w * 0.96, belt, foot_f), (-w * 0.96, belt, foot_f), (-inner, top, roof_f), (inner, top, roof_f)], paint)
    for face, part in ((back, 0.12), (wind, 0.08)):
        rim = _inset(face.corners, part)
        mirrored = [_between(rim[0], rim[3], 0.55), _between(rim[1], rim[2], 0.70), rim[2], rim[3]]
        face.details += [(rim, _GLASS, None), (mirrored, _REFLECTION, None)]
    faces = [rear, front, hood, trunk, roof, back, wind]
    for side in (-1, 1):
        flank = _Face(
            [(side * w, low, -half), (side * w, belt, -half), (side * w, belt, foot_f), (side * w, belt * 0.82, half), (side * w, low, half)], paint
        )
        flank.details.append(
            ([(side * w, low, -half), (side * w, low + 0.1, -half), (side * w, low + 0.1, half), (side * w, low, half)], (36, 36, 40), None)
        )
        for z in (-0.30 * body.length, 0.31 * body.length):
            for radius, color in ((0.34, _TIRE), (0.19, _HUB)):
                wheel = [
                    (side * w, 0.34 + radius * math.sin(step * math.tau / 14), z + radius * math.cos(step * math.tau / 14)) for step in range(14)
                ]
                flank.details.append((wheel, color, None))
        glass = _Face(
            [(side * w * 0.96, belt, foot_r), (side * inner, top, roof_r), (side * inner, top, roof_f), (side * w * 0.96, belt, foot_f)], paint
        )
        pane = _inset(glass.corners, 0.13)
        middle = 0.48
        post = [_between(pane[0], pane[3], middle), _between(pane[1], pane[2], middle), _between(pane[1], pane[2], middle + 0.05)]
        glass.details.append((pane, _GLASS, None))
        glass.details.append(([*post, _between(pane[0], pane[3], middle + 0.05)], paint, None))
        faces += [flank, glass]
    return faces


def _between(a: Point3, b: Point3, part: float) -> Point3:
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part


def _inset(corners: list[Point3], part: float) -> list[Point3]:
    count = len(corners)
    x, y, z = (sum(corner[axis] for corner in corners) / count for axis in range(3))
    return [_between(corner, (x, y, z), part) for corner in corners]


def draw_car(
    canvas: Canvas, camera: Camera, place: Point3, heading: float, body: CarBody, paint: Color, *, braking: bool = False, lamps: bool = False
) -> None:
    """Draw a car. `place`: center of its footprint, camera coordinates, m; `heading`: radians to the right, 0 away from the camera, pi towards it."""
    cos, sin = math.cos(heading), math.sin(heading)

    def turned(point: Point3) -> Point3:
        x, y, z = point
        return place[0] + x * cos + z * sin, place[1] + y, place[2] - x * sin + z * cos

    plain = place[2] > 45  # too small for wheels and bumpers
    center = turned((0, body.height / 2, 0))
    seen: list[tuple[float, _Face, list[Point3]]] = []
    for face in _faces(body, paint, braking=braking, lamps=lamps):
        corners = [turned(corner) for corner in face.corners]
        middle = [sum(corner[axis] for corner in corners) / len(corners) for axis in range(3)]
        normal = _normal(corners, (middle[0] - center[0], middle[1] - center[1], middle[2] - center[2]))
        towards = normal[0] * middle[0] + normal[1] * (middle[1] - camera.eye) + normal[2] * middle[2]
        if towards < 0:
            distance = middle[0] ** 2 + (middle[1] - camera.eye) ** 2 + middle[2] ** 2
            seen.append((distance, _Face(corners, _shade(face.color, normal), face.details), corners))
    for z in (body.cabin[0] * body.length * 0.72, -body.cabin[0] * body.length * 0.66):  # the wheels between the flanks
        for left, right in ((-0.95, -0.70), (0.70, 0.95)):
            tire = [
                (left * body.width / 2, 0.0, z),
                (right * body.width / 2, 0.0, z),
                (right * body.width / 2, 0.42, z),
                (left * body.width / 2, 0.42, z),
            ]
            canvas.polygon(camera.polygon([turned(point) for point in tire]), _TIRE)
    for _, face, corners in sorted(seen, key=lambda entry: -entry[0]):
        canvas.polygon(camera.polygon(corners), face.color)
        for points, color, glow in face.details:
            if plain and (len(points) > 4 or color in _TOO_FINE):
                continue
            canvas.polygon(camera.polygon([turned(point) for point in points]), color, glow=glow, inside=True)


def _normal(corners: list[Point3], outward: Point3) -> Point3:
    """Return the unit normal of a flat face on the side of `outward`."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[:3]
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = math.sqrt(nx * nx + ny * ny + nz * nz) or 1.0
    sign = 1.0 if nx * outward[0] + ny * outward[1] + nz * outward[2] >= 0 else -1.0
    return sign * nx / length, sign * ny / length, sign * nz / length
