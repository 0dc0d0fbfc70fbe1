"""Drawing of the background: sky, skyline and road."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracecore_simulation.camera import Camera, Canvas, Color
from tracecore_simulation.ego_frame import View
from tracecore_simulation.town import AHEAD, LANE, SIDEWALK, Crossing

__all__ = ["draw_ground", "sky"]

_SKIES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    "day": ((96, 146, 206), (206, 222, 234), (246, 248, 250)),
    "dusk": ((70, 74, 122), (240, 160, 104), (210, 130, 120)),
    "night": ((8, 10, 22), (30, 30, 44), (26, 28, 40)),
}


def sky(width: int, rows: int, time_of_day: str, weather: str, seed: int, shift: float) -> npt.NDArray[np.uint8]:
    """Return a picture of the sky, (rows, width, 3). The clouds depend on `seed` and are shifted by `shift`, the car's heading in radians."""
    top, low, cloud = (np.asarray(color, dtype=np.float32) for color in _SKIES[time_of_day])
    if weather != "clear":
        gray = (top + 2 * low + cloud).mean() / 4
        top, low, cloud = (gray * share + color * 0.15 for share, color in ((0.72, top), (0.82, low), (0.95, cloud)))
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    start = min(max(64 + int(shift * 40), 0), 128)
    part = Image.fromarray(_clouds(seed)[:, start : start + 128]).resize((width, rows), Image.Resampling.BICUBIC)
    cover = np.clip(np.asarray(part), 0, 1)[:, :, None] * (0.75 - 0.49 * down)
    clear = top * (1 - down) + low * down
    return np.asarray(np.clip(clear + cover * (cloud - clear), 0, 255), dtype=np.uint8)


@lru_cache(maxsize=8)
def _clouds(seed: int) -> npt.NDArray[np.float32]:
    """Return an image of a drive's clouds, (64, 256), from 0 (clear sky) to 1 (cloud); drawn at random from `seed`."""
    rng = np.random.default_rng(seed)
    field = np.zeros((64, 256), dtype=np.float32)
    for octave in (4, 8, 16, 32):
        coarse = Image.fromarray(rng.random((octave, octave * 3), dtype=np.float32))
        field += np.asarray(coarse.resize((256, 64), Image.Resampling.BICUBIC)) / octave**0.7
    low, high = np.quantile(field, 0.55), np.quantile(field, 0.97)
    return np.asarray(np.clip((field - low) / (high - low), 0, 1), dtype=np.float32)


def draw_ground(canvas: Canvas, camera: Camera, view: View) -> None:
    """Draw the skyline, the verges and sidewalks, and the road with its markings and crossing streets."""
    z0 = view.along
    _skyline(canvas, camera, view)
    stops = z0 + np.concatenate([np.linspace(-1, 20, 12), np.linspace(24, AHEAD, 14), [600.0]])

    def strip(left: float, right: float, color: Color, up: float = 0.0) -> None:
        edge = [view(left, min(z, z0 + AHEAD) if z < z0 + 500 else z, up) for z in stops[:-1]]
        other = [view(right, z, up) for z in stops[:-1]]
        canvas.polygon(camera.polygon([*edge, *reversed(other)]), color, inside=True)

    canvas.polygon([(0, camera.horizon), (canvas.width, camera.horizon), (canvas.width, canvas.height), (0, canvas.height)], (98, 108, 84))
    strip(-14, 14, (112, 112, 96))
    streets = [crossing.street for crossing in view.town.crossings if crossing.street is not None and z0 - 10 < crossing.street < z0 + AHEAD]
    for where in (-1, 1):
        strip(where * 5.85, where * SIDEWALK[1], (156, 152, 146))
        strip(where * 5.7, where * 5.95, (188, 186, 180))
    for street in streets:
        _street(canvas, camera, view, street)
    strip(-5.7, 5.7, (86, 88, 92))
    strip(-LANE - 0.1, LANE + 0.1, (80, 82, 86))
    for where in (-1, 1):
        strip(where * (LANE + 0.02), where * (LANE + 0.14), (204, 204, 198))
    for street in streets:
        _patch(canvas, camera, view, (-5.7, 5.7), (street - 4.5, street + 4.5), (80, 82, 86))
    _stains(canvas, camera, view)
    _marks(canvas, camera, view, streets)


def _patch(canvas: Canvas, camera: Camera, view: View, across: tuple[float, float], along: tuple[float, float], color: Color) -> None:
    corners = [(across[0], along[0]), (across[1], along[0]), (across[1], along[1]), (across[0], along[1])]
    canvas.polygon(camera.polygon([view(*corner) for corner in corners]), color, inside=True)


def _street(canvas: Canvas, camera: Camera, view: View, street: float) -> None:
    """Draw both arms of the street that crosses the road `street` m past the drive's start, with sidewalks and a center line."""
    for where in (-1, 1):
        arm = (where * 5.7, where * 46.0)
        _patch(canvas, camera, view, (where * 8.6, where * 46.0), (street - 7, street + 7), (150, 146, 140))
        _patch(canvas, camera, view, arm, (street - 4.5, street + 4.5), (80, 82, 86))
        for start in range(10, 44, 6):
            _patch(canvas, camera, view, (where * start, where * (start + 3)), (street - 0.07, street + 0.07), (206, 206, 198))


def _marks(canvas: Canvas, camera: Camera, view: View, streets: list[float]) -> None:
    z0 = view.along
    kept = [(street - 12.5, street + 11.0) for street in streets]
    kept += [(crossing.along - 6.2, crossing.along + 2.0) for crossing in view.town.crossings if crossing.street is None]

    def free(along: float) -> bool:
        return not any(low < along < high for low, high in kept)

    for dash in np.arange(np.floor((z0 - 4) / 8) * 8, z0 + 90, 8.0):
        if free(float(dash)):
            _patch(canvas, camera, view, (-0.07, 0.07), (float(dash), float(dash) + 3.4), (214, 214, 206))
    for crossing in view.town.crossings:
        _crossing(canvas, camera, view, crossing)


def _crossing(canvas: Canvas, camera: Camera, view: View, crossing: Crossing) -> None:
    """Draw the crosswalks of a crossing and, if it has lights, the stop lines."""
    far = crossing.along if crossing.street is None else 2 * crossing.street - crossing.along

    def near(along: float) -> bool:
        return view.along - 4 < along < view.along + 85

    for walk in (crossing.along,) if crossing.street is None else (crossing.along, far):
        if near(walk):
            for across in np.arange(-LANE + 0.2, LANE - 0.2, 1.0):
                _patch(canvas, camera, view, (float(across), float(across) + 0.5), (walk - 1.5, walk + 1.5), (210, 210, 204))
    side = view.town.ego.side
    for lane, line in ((side, crossing.along - 2.7), (-side, far + 2.7)):
        if crossing.signal is not None and near(line):
            _patch(canvas, camera, view, (lane * 0.15, lane * (LANE - 0.05)), (line - 0.2, line + 0.2), (216, 216, 208))


def _stains(canvas: Canvas, camera: Camera, view: View) -> None:
    """Draw repaired patches and stains on the road."""
    z0 = view.along
    rng = np.random.default_rng(view.town.seed)
    for _ in range(70):
        along, across = float(rng.uniform(0, 400)), float(rng.uniform(-5.2, 4.4))
        long_, wide, tone = float(rng.uniform(0.6, 3.5)), float(rng.uniform(0.3, 1.0)), int(rng.integers(64, 96))
        along += 400 * math.floor((z0 + 50 - along) / 400)  # the same stains every 400 m
        if along > z0 + 1:
            _patch(canvas, camera, view, (across, across + wide), (along, along + long_), (tone, tone + 1, tone + 3))


def _skyline(canvas: Canvas, camera: Camera, view: View) -> None:
    """Draw distant hills or roofs, which turn with the car but come no nearer."""
    heading = view.heading
    rng = np.random.default_rng(view.town.seed + 1)
    heights = np.cumsum(rng.normal(0, 1.0, 480))
    heights = (heights - np.convolve(heights, np.ones(31) / 31, "same")) * 0.004 * camera.height + 0.05 * camera.height
    angles = np.linspace(-math.pi, math.pi, 480) - heading
    tops = [
        (camera.width / 2 + camera.focal * float(np.tan(a)), camera.horizon - max(2.0, float(h)))
        for a, h in zip(angles, heights, strict=True)
        if abs(a) < 1.2
    ]
    canvas.polygon([(tops[0][0], camera.horizon + 2), *tops, (tops[-1][0], camera.horizon + 2)], (122, 136, 142))
