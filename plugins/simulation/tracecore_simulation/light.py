"""Light: a drawn scene by day, at dusk, or at night in the light of headlamps and street lamps; and what the sensor adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from tracecore_simulation.camera import Camera

__all__ = ["Lamp", "expose"]

Pixels = npt.NDArray[np.float32]
_AMBIENT = {"day": (1.0, 1.0, 1.0), "dusk": (0.46, 0.39, 0.40), "night": (0.085, 0.09, 0.125)}
_HEADLAMPS = {"day": 0.0, "dusk": 0.22, "night": 0.95}
_BEAM = np.asarray([1.0, 0.97, 0.90], dtype=np.float32)
_SODIUM = np.asarray([1.0, 0.82, 0.55], dtype=np.float32)
_GRAIN = {"day": 0.010, "dusk": 0.018, "night": 0.028}


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp's pool of light: its middle on the ground in px, its size in px, its strength."""

    u: float
    v: float
    radius: float
    strength: float


def expose(
    colors: Pixels, glows: Pixels | None, depth: Pixels, camera: Camera, time_of_day: str, lamps: Sequence[Lamp], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Turn colors by daylight into a picture.

    Args:
        colors: (height, width, 3), 0 to 1.
        glows: what gives off light by itself, alike; None by day.
        depth: distance of each pixel, m, (height, width).
        camera: for the cones of the headlamps.
        time_of_day: day, dusk or night.
        lamps: street lamps.
        rng: for the grain of the sensor.
    """
    height, width, _ = colors.shape
    ambient = np.asarray(_AMBIENT[time_of_day], dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    picture = colors * ambient
    if _HEADLAMPS[time_of_day]:
        aim = np.exp(-(((columns - width * 0.51) / (0.30 * width)) ** 2))
        beam = 1 / (1 + np.exp(-(rows - (camera.horizon - 0.035 * height)) / (0.018 * height)))  # the low beam is cut off above
        reach = np.clip(9.0 / np.maximum(depth, 5.0), 0, 1)
        picture += colors * ((_HEADLAMPS[time_of_day] * 1.35) * aim * beam * reach)[:, :, None] * _BEAM
    if lamps:
        pools = np.zeros((height, width), dtype=np.float32)
        for lamp in lamps:
            across = np.exp(-((columns - lamp.u) ** 2) / (2 * lamp.radius**2))
            pools += lamp.strength * across * np.exp(-(((rows - lamp.v) * 2.1) ** 2) / (2 * lamp.radius**2))
        picture += colors * pools[:, :, None] * _SODIUM
    far = np.clip((depth - 25) / 260, 0, 0.45)[:, :, None]
    picture += far * (ambient * np.float32(0.82) - picture)
    if glows is not None:
        strength = np.float32({"dusk": 0.85, "night": 1.0}[time_of_day])
        picture = np.maximum(picture, glows * strength) + _bloom(glows, width) * strength
    grain = rng.standard_normal((height, width, 1), dtype=np.float32)
    edge = ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2)[:, :, None]
    picture = (picture + _GRAIN[time_of_day] * grain) * (1 - 0.32 * edge)  # lenses darken towards the corners
    return np.asarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def _bloom(glows: Pixels, width: int) -> Pixels:
    """Let bright lights spread, as they do in a lens at night."""
    image = Image.fromarray((np.clip(glows, 0, 1) * 255).astype(np.uint8))
    near = np.asarray(image.filter(ImageFilter.GaussianBlur(width / 200)), dtype=np.float32)
    small = image.resize((max(image.width // 4, 1), max(image.height // 4, 1)), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(width / 130))
    far = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), dtype=np.float32)
    return np.asarray((near * 0.55 + far * 0.75) / 255, dtype=np.float32)
