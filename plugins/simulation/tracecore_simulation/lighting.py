"""Lighting of a drawn picture by day, at dusk and at night (headlamps, street lamps), effects of weather and sensor; and the contrast of objects.

Contrast measures how visible an object is against its surroundings for a person at a screen. Source: the contrast ratio of WCAG 2.2 (W3C
Recommendation), (brighter + 0.05) / (darker + 0.05), with the transfer function of sRGB (IEC 61966-2-1). The 0.05 is the light that a screen
reflects, which makes dark on dark hard to see. WCAG uses luminance; here the greatest ratio of the red, green and blue channels counts, since a red
jacket is visible in front of a wall of equal luminance. For grays both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tracecore_simulation.camera import Camera
from tracecore_simulation.rig import Mount

__all__ = ["WEATHERS", "Lamp", "contrast_of", "expose", "linear_light"]

_FLARE = 0.05
_GREATEST = 21.0  # white on black
_RING, _LEAST_RING = 0.2, 2  # share of the object's longer side, px
_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_LUMINANCE = np.array((0.2126, 0.7152, 0.0722), dtype=np.float32)


def linear_light(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the linear light (3, height, width), 0 to 1, of an sRGB picture (height, width, 3)."""
    return np.stack([np.take(_LINEAR, picture[:, :, color]) for color in range(3)])


def contrast_of(light: npt.NDArray[np.float32], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], box: tuple[int, int, int, int]) -> float:
    """Return the WCAG contrast ratio between an object and its surroundings, from 1 to 21, taken on the color channel where it is greatest.

    The surroundings are the box, enlarged on each side by a fifth of its longer side (at least 2 px), without the object. The object's darker and
    brighter half are each compared with the surroundings' mean, and the greater ratio counts: a white shirt over dark trousers is visible although
    the object's mean may equal the road.

    Args:
        light: linear light of the picture, (3, height, width).
        rows: row indices of the object's pixels.
        columns: column indices of the object's pixels.
        box: bounding box of the object: x, y, width, height, px.
    """
    x, y, width, height = box
    margin = max(_LEAST_RING, round(_RING * max(width, height)))
    window = light[:, max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin]
    own, count = light[:, rows, columns], len(rows)
    around = window[0].size - count
    if not around:  # the object fills the picture
        return _GREATEST
    luminance = _LUMINANCE @ own
    brighter = luminance >= np.partition(luminance, count // 2)[count // 2]
    bright = int(np.count_nonzero(brighter))
    total, lit = own.sum(axis=1), own @ brighter.astype(np.float32)
    ring = (window.sum(axis=(1, 2)) - total) / around + _FLARE
    halves = [lit / bright, *([(total - lit) / (count - bright)] if bright < count else [])]  # an object of one color has one half
    return max(float(np.max(np.maximum(half + _FLARE, ring) / np.minimum(half + _FLARE, ring))) for half in halves)


WEATHERS = ("clear", "overcast", "rain", "fog")

Pixels = npt.NDArray[np.float32]
_AMBIENT = {"day": (1.0, 1.0, 1.0), "dusk": (0.46, 0.39, 0.40), "night": (0.085, 0.09, 0.125)}
_HEADLAMPS = {"day": 0.0, "dusk": 0.22, "night": 0.95}
_BEAM = (1.0, 0.97, 0.90)
_SODIUM = (1.0, 0.82, 0.55)
_HAZE = {"clear": (600.0, 0.0), "overcast": (420.0, 0.0), "rain": (150.0, 0.30), "fog": (48.0, 0.88)}
"""Visibility in m, and share of the sky that is veiled."""
_DROPS = 260  # streaks of rain on a picture
_GRAIN = {"day": 0.010, "dusk": 0.018, "night": 0.028}


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp's pool of light on the ground: center (u, v) and radius in px, and strength."""

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
    weather: str,
    lamps: Sequence[Lamp],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Return the picture (height, width, 3) that the camera takes of a drawn scene, with lighting by time of day, haze, rain and sensor noise.

    Args:
        colors: daylight colors, (height, width, 3), 0 to 1.
        glows: emitted light, likewise; None by day.
        depth: distance of each pixel, m, (height, width); 0 for the sky.
        rng: for sensor noise and rain.
    """
    height, width, _ = colors.shape
    ambient = _AMBIENT[time_of_day]
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    dark = _HEADLAMPS[time_of_day] > 0
    head = np.zeros((height, width), dtype=np.float32)
    if dark:
        aim = np.exp(-(((columns - width * mount.aim) / (0.30 * width)) ** 2))
        beam = 1 / (1 + np.exp(-(rows - (camera.horizon - 0.035 * height)) / (0.018 * height)))  # the low beam is cut off above
        head = (_HEADLAMPS[time_of_day] * 1.35 * mount.lamps * aim) * beam * np.clip(9.0 / np.maximum(depth, 5.0), 0, 1)
    pools = np.zeros((height, width), dtype=np.float32)
    for lamp in lamps:
        across = np.exp(-((columns - lamp.u) ** 2) / (2 * lamp.radius**2))
        pools += lamp.strength * across * np.exp(-(((rows - lamp.v) * 2.1) ** 2) / (2 * lamp.radius**2))
    sight, veil = _HAZE[weather]
    far = np.where(depth > 0, 1 - np.exp(-np.maximum(depth - 12, 0) / np.float32(sight)), np.float32(veil)).astype(np.float32)
    near = 1 - far
    wet = weather == "rain"
    if wet:
        near = near * np.where(rows > camera.horizon + 1, np.float32(0.78), np.float32(1.0))  # a wet road is darker
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(_GRAIN[time_of_day])
    edge = 255 - 81.6 * ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2)  # lenses darken towards the corners
    picture = np.empty((height, width, 3), dtype=np.uint8)
    bloom = None if glows is None else _bloom(glows, width)
    if bloom is not None and glows is not None and wet:
        bloom = bloom + _mirrored(glows, camera.horizon)
    drops = _rain(width, height, rng) * np.float32(0.30) if wet else None
    strength = np.float32({"day": 0.0, "dusk": 0.85, "night": 1.0}[time_of_day])
    for channel in range(3):
        shown = colors[:, :, channel] * near
        if dark:
            shown *= ambient[channel] + head * _BEAM[channel] + pools * _SODIUM[channel]
        shown += far * np.float32(0.82 * ambient[channel])
        if glows is not None and bloom is not None:
            shown = np.maximum(shown, glows[:, :, channel] * strength) + bloom[:, :, channel] * strength
        if drops is not None:
            shown += drops * np.float32(0.25 + 0.75 * ambient[channel])
        shown += grain
        shown *= edge
        np.clip(shown, 0, 255, out=shown)
        picture[:, :, channel] = shown
    return picture


def _bloom(glows: Pixels, width: int) -> Pixels:
    """Return the halo that bright lights get from a lens, 0 to 1.3, (height, width, 3). `glows`: emitted light."""
    image = Image.fromarray((np.clip(glows, 0, 1) * 255).astype(np.uint8))
    half = image.reduce(2)
    narrow = half.filter(ImageFilter.GaussianBlur(width / 400))
    wide = half.reduce(2).filter(ImageFilter.GaussianBlur(width / 130)).resize(half.size, Image.Resampling.BILINEAR)
    both = ImageChops.add(narrow.point(lambda value: value * 0.42), wide.point(lambda value: value * 0.58))  # 1.3 in all
    return np.asarray(both.resize(image.size, Image.Resampling.BILINEAR), dtype=np.float32) * np.float32(1.3 / 255)


def _mirrored(glows: Pixels, horizon: float) -> Pixels:
    """Return the reflections of emitted light on a wet road, as streaks below each light, (height, width, 3). `horizon`: its pixel row."""
    step = 4
    image = Image.fromarray((np.clip(glows, 0, 1) * 255).astype(np.uint8)).reduce(step)
    small = np.asarray(image, dtype=np.float32) * np.float32(1 / 255)
    running = np.zeros_like(small[0])
    found = np.zeros_like(small)
    first = int(horizon / step)
    for row in range(len(small)):
        running = np.maximum(running * np.float32(0.93), small[row])
        if row > first:
            found[row] = np.maximum(running - small[row], 0) * np.float32(0.38)
    smooth = Image.fromarray((found * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    size = (glows.shape[1], glows.shape[0])
    return np.asarray(smooth.resize(size, Image.Resampling.BILINEAR), dtype=np.float32) * np.float32(1 / 255)


def _rain(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Return an image of random streaks of rain, (height, width), from 0 (none) to 0.8."""
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    places = rng.random((_DROPS, 4))
    for u, v, long_, bright in places.tolist():
        x, y, run = u * width, v * height, (0.02 + 0.05 * long_) * height
        pen.line((x, y, x - 0.12 * run, y + run), fill=int(60 + 140 * bright), width=1)
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)
