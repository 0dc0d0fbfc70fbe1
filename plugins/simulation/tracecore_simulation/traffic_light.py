"""Traffic lights: three lamps before a dark board, on a post or at the end of an arm, one of them lit."""

from __future__ import annotations

from tracecore_simulation.camera import Camera
from tracecore_simulation.canvas import Canvas, Color
from tracecore_simulation.shapes import HEAD
from tracecore_simulation.town import TrafficLight
from tracecore_simulation.view import View

__all__ = ["draw_traffic_light", "lamp_offset"]

_LIT: dict[str, Color] = {"red": (255, 52, 36), "yellow": (255, 196, 40), "green": (60, 255, 150)}
_OFF: dict[str, Color] = {"red": (74, 22, 20), "yellow": (74, 58, 20), "green": (16, 62, 44)}
_HOUSING: Color = (30, 32, 34)
_BOARD: Color = (44, 47, 48)
_RIM: Color = (206, 206, 200)
_STEEL: Color = (96, 100, 102)
_LENS = 0.15  # m
_APART = 0.36  # m between the middles of two lamps


def lamp_offset(light: TrafficLight, color: str) -> tuple[float, float]:
    """Give how far a lamp sits to the right of and below the middle of its head, m."""
    step = {"red": -1, "yellow": 0, "green": 1}[color] * _APART
    if not light.lying:
        return 0.0, step
    return (-step if light.lateral < 0 else step), 0.0  # red is nearest to the middle of the road


def draw_traffic_light(canvas: Canvas, camera: Camera, view: View, light: TrafficLight) -> None:
    """Draw a head with its lit lamp; post and arm are scenery, the head is the labeled object."""
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
