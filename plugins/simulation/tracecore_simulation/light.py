"""Light: a drawn scene by day, at dusk, or at night in the light of headlamps and street lamps; and what the sensor adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from tracecore_simulation.camera import Camera
from tracecore_simulation.world import Mount

__all__ = ["Lamp", "expose"]

Pixels = npt.NDArray[np.float32]
_AMBIENT = {"day": (1.0, 1.0, 1.0), "dusk": (0.46, 0.39, 0.40), "night": (0.085, 0.09, 0.125)}
_HEADLAMPS = {"day": 0.0, "dusk": 0.22, "night": 0.95}
_BEAM = (1.0, 0.97, 0.90)
_SODIUM = (1.0, 0.82, 0.55)
_GRAIN = {"day": 0.010, "dusk": 0.018, "night": 0.028}


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp's pool of light: its middle on the ground in px, its size in px, its strength."""

    u: float
    v: float
    radius: float
    strength: float


def expose(
    colors: Pixels,
    glows: Pixels | None,
    depth: Pixels,
    camera: Camera,
    mount: Mount,
    time_of_day: str,
    lamps: Sequence[Lamp],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Turn colors by daylight into a picture.

    Args:
        colors: (height, width, 3), 0 to 1.
        glows: what gives off light by itself, alike; None by day.
        depth: distance of each pixel, m, (height, width).
        camera: for the cones of the headlamps.
        mount: how the headlamps are set.
        time_of_day: day, dusk or night.
        lamps: street lamps.
        rng: for the grain of the sensor.
    """
    height, width, _ = colors.shape
    ambient = _AMBIENT[time_of_day]
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    head = np.zeros((height, width), dtype=np.float32)
    if _HEADLAMPS[time_of_day]:
        aim = np.exp(-(((columns - width * mount.aim) / (0.30 * width)) ** 2))
        beam = 1 / (1 + np.exp(-(rows - (camera.horizon - 0.035 * height)) / (0.018 * height)))  # the low beam is cut off above
        head = (_HEADLAMPS[time_of_day] * 1.35 * mount.lamps * aim) * beam * np.clip(9.0 / np.maximum(depth, 5.0), 0, 1)
    pools = np.zeros((height, width), dtype=np.float32)
    for lamp in lamps:
        across = np.exp(-((columns - lamp.u) ** 2) / (2 * lamp.radius**2))
        pools += lamp.strength * across * np.exp(-(((rows - lamp.v) * 2.1) ** 2) / (2 * lamp.radius**2))
    far = np.clip((depth - 25) / 260, 0, 0.45)
    near = 1 - far
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(_GRAIN[time_of_day])
    edge = 1 - 0.32 * ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2)  # lenses darken towards the corners
    picture = np.empty((height, width, 3), dtype=np.uint8)
    bloom = None if glows is None else _bloom(glows, width)
    strength = np.float32({"day": 0.0, "dusk": 0.85, "night": 1.0}[time_of_day])
    for channel in range(3):
        light = ambient[channel] + head * _BEAM[channel] + pools * _SODIUM[channel]
        shown = colors[:, :, channel] * light * near + far * np.float32(0.82 * ambient[channel])
        if glows is not None and bloom is not None:
            shown = np.maximum(shown, glows[:, :, channel] * strength) + bloom[:, :, channel] * strength
        shown = (shown + grain) * edge
        picture[:, :, channel] = np.clip(shown * 255 + 0.5, 0, 255)
    return picture


def _bloom(glows: Pixels, width: int) -> Pixels:
    """Let bright lights spread, as they do in a lens at night."""
    image = Image.fromarray((np.clip(glows, 0, 1) * 255).astype(np.uint8))
    spread = np.zeros_like(glows)
    for smaller, radius, share in ((2, width / 400, 0.55), (4, width / 130, 0.75)):
        small = image.reduce(smaller).filter(ImageFilter.GaussianBlur(radius))
        spread += np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), dtype=np.float32) * np.float32(share / 255)
    return spread
