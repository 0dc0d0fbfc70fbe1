"""Sky and road: what lies behind everything else."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracecore_simulation.camera import Camera
from tracecore_simulation.canvas import Canvas, Color
from tracecore_simulation.world import AHEAD, LANE, SIDEWALK, View

__all__ = ["draw_ground", "sky"]

_SKIES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    "day": ((96, 146, 206), (206, 222, 234), (246, 248, 250)),
    "dusk": ((70, 74, 122), (240, 160, 104), (210, 130, 120)),
    "night": ((8, 10, 22), (30, 30, 44), (26, 28, 40)),
}


def sky(width: int, height: int, horizon: float, time_of_day: str, seed: int, shift: float) -> npt.NDArray[np.uint8]:
    """Paint the sky with its clouds, and the color of the far ground below.

    Args:
        width: px.
        height: px.
        horizon: row of the horizon, px.
        time_of_day: day, dusk or night.
        seed: of the clouds, the same all along a drive.
        shift: how far the car has turned, radians: the clouds move the other way.
    """
    top, low, cloud = (np.asarray(color, dtype=np.float32) for color in _SKIES[time_of_day])
    band = min(max(int(horizon) + 1, 1), height)  # what lies below is covered by the ground
    rows = np.linspace(0, 1, band, dtype=np.float32)[:, None, None]
    start = int((shift * 1.1 + 0.4) * 128) % 128
    part = Image.fromarray(_clouds(seed)[:, start : start + 128]).resize((width, band), Image.Resampling.BICUBIC)
    cover = np.clip(np.asarray(part), 0, 1)[:, :, None] * (0.75 - 0.49 * rows)
    clear = top * (1 - rows) + low * rows
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[:band] = np.clip(clear + cover * (cloud - clear), 0, 255)
    picture[band:] = low.astype(np.uint8)
    return picture


@lru_cache(maxsize=8)
def _clouds(seed: int) -> npt.NDArray[np.float32]:
    """Make the clouds of a drive: how much of the sky is covered, 64 x 256 cells."""
    rng = np.random.default_rng(seed)
    field = np.zeros((64, 256), dtype=np.float32)
    for octave in (4, 8, 16, 32):
        coarse = Image.fromarray(rng.random((octave, octave * 3), dtype=np.float32))
        field += np.asarray(coarse.resize((256, 64), Image.Resampling.BICUBIC)) / octave**0.7
    low, high = np.quantile(field, 0.55), np.quantile(field, 0.97)
    return np.asarray(np.clip((field - low) / (high - low), 0, 1), dtype=np.float32)


def draw_ground(canvas: Canvas, camera: Camera, view: View) -> None:
    """Draw the skyline, the verges, sidewalks, the road and its marks."""
    z0 = view.along
    _skyline(canvas, camera, view)
    stops = z0 + np.concatenate([np.linspace(-1, 20, 12), np.linspace(24, AHEAD, 14), [600.0]])

    def strip(left: float, right: float, color: Color, up: float = 0.0) -> None:
        edge = [view(left, min(z, z0 + AHEAD) if z < z0 + 500 else z, up) for z in stops[:-1]]
        other = [view(right, z, up) for z in stops[:-1]]
        canvas.polygon(camera.polygon([*edge, *reversed(other)]), color)

    canvas.polygon([(0, camera.horizon), (canvas.width, camera.horizon), (canvas.width, canvas.height), (0, canvas.height)], (98, 108, 84))
    strip(-14, 14, (112, 112, 96))
    for where in (-1, 1):
        strip(where * 5.85, where * SIDEWALK[1], (156, 152, 146))
        strip(where * 5.7, where * 5.95, (188, 186, 180))
    strip(-5.7, 5.7, (86, 88, 92))
    strip(-LANE - 0.1, LANE + 0.1, (80, 82, 86))
    for where in (-1, 1):
        strip(where * (LANE + 0.02), where * (LANE + 0.14), (204, 204, 198))
    _marks(canvas, camera, view)


def _marks(canvas: Canvas, camera: Camera, view: View) -> None:
    z0 = view.along

    def patch(left: float, right: float, start: float, end: float, color: Color) -> None:
        corners = [(left, start), (right, start), (right, end), (left, end)]
        canvas.polygon(camera.polygon([view(across, along) for across, along in corners]), color)

    for dash in np.arange(np.floor((z0 - 4) / 8) * 8, z0 + 90, 8.0):
        patch(-0.07, 0.07, float(dash), float(dash) + 3.4, (214, 214, 206))
    for crossing in view.world.crosswalks:
        if z0 - 4 < crossing < z0 + 80:
            for across in np.arange(-LANE + 0.2, LANE - 0.2, 1.0):
                patch(float(across), float(across) + 0.5, crossing - 1.5, crossing + 1.5, (210, 210, 204))
    rng = np.random.default_rng(view.world.seed)
    for _ in range(70):  # patches and stains: a road is not of one color
        along, across = float(rng.uniform(0, 400)), float(rng.uniform(-5.2, 4.4))
        long_, wide, tone = float(rng.uniform(0.6, 3.5)), float(rng.uniform(0.3, 1.0)), int(rng.integers(64, 96))
        along += 400 * math.floor((z0 + 50 - along) / 400)  # the same stains every 400 m
        if along > z0 + 1:
            patch(across, across + wide, along, along + long_, (tone, tone + 1, tone + 3))


def _skyline(canvas: Canvas, camera: Camera, view: View) -> None:
    """Draw the far hills or roofs: they turn with the car but come no nearer."""
    heading = view.heading
    rng = np.random.default_rng(view.world.seed + 1)
    heights = np.cumsum(rng.normal(0, 1.0, 240))
    heights = (heights - np.convolve(heights, np.ones(31) / 31, "same")) * 0.004 * camera.height + 0.05 * camera.height
    angles = np.linspace(-1.2, 1.2, 240) - heading
    tops = [
        (camera.width / 2 + camera.focal * float(np.tan(a)), camera.horizon - max(2.0, float(h)))
        for a, h in zip(angles, heights, strict=True)
        if abs(a) < 1.2
    ]
    canvas.polygon([(tops[0][0], camera.horizon + 2), *tops, (tops[-1][0], camera.horizon + 2)], (122, 136, 142))
