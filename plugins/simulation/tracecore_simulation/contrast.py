"""Contrast: how well an object stands out from what is around it on a picture, for a person before a screen.

Source: the contrast ratio of WCAG 2.2 (W3C Recommendation), (brighter + 0.05) / (darker + 0.05), with the transfer function of sRGB (IEC 61966-2-1).
The 0.05 is the light that a screen reflects: it is what makes dark on dark hard to see. WCAG takes the ratio of luminances; here the greatest of red,
green and blue counts, because a red jacket is seen before a wall of its luminance. For grays that is the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["contrast_of", "linear_light"]

_FLARE = 0.05
_GREATEST = 21.0  # white on black
_RING, _LEAST_RING = 0.2, 2  # share of the object's longer side, px
_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_LUMINANCE = np.array((0.2126, 0.7152, 0.0722), dtype=np.float32)


def linear_light(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the light of each color and pixel, (3, height, width), 0 to 1, of an sRGB picture (height, width, 3)."""
    return np.stack([np.take(_LINEAR, picture[:, :, color]) for color in range(3)])


def contrast_of(light: npt.NDArray[np.float32], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], box: tuple[int, int, int, int]) -> float:
    """Return the contrast ratio of an object to a ring around it, 1 (none) to 21 (black on white).

    The ring is whatever else the object's box shows, widened by a fifth of its longer side (2 px at least). The object's darker and brighter half are
    compared with the ring's mean each, and the greater ratio counts: a white shirt over dark trousers is seen although its mean is that of the road.

    Args:
        light: of the picture, (3, height, width), from `linear_light`.
        rows: of the object's pixels.
        columns: of the same pixels.
        box: around them: x, y, width, height, px.
    """
    x, y, width, height = box
    margin = max(_LEAST_RING, round(_RING * max(width, height)))
    window = light[:, max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin]
    own, count = light[:, rows, columns], len(rows)
    around = window[0].size - count
    if not around:  # it fills the picture
        return _GREATEST
    luminance = _LUMINANCE @ own
    brighter = luminance >= np.partition(luminance, count // 2)[count // 2]
    bright = int(np.count_nonzero(brighter))
    total, lit = own.sum(axis=1), own @ brighter.astype(np.float32)
    ring = (window.sum(axis=(1, 2)) - total) / around + _FLARE
    halves = [lit / bright, *([(total - lit) / (count - bright)] if bright < count else [])]  # an object of one color has one half
    return max(float(np.max(np.maximum(half + _FLARE, ring) / np.minimum(half + _FLARE, ring))) for half in halves)
