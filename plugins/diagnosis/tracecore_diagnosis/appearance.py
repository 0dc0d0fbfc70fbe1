"""What a mistake looks like: a few dozen numbers of the picture around its box, counted and transformed, no network.

Every number is of the crop alone and rounded, so that the same pictures give the same clusters on any machine.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tracecore.images import upright
from tracecore_diagnosis.mistakes import Mistake

__all__ = ["PLAIN", "Looks", "crop_box", "look_at"]

Floats = NDArray[np.float64]

PLAIN = ("luma", "contrast", "warmth", "slenderness", "side")
"""Numbers that people have words for, in the order of `Looks.plain`."""

_SIDE = 16  # px of the small picture that is counted
_MARGIN = 0.15  # of the box on each side: what stands around an object is part of how it looks
_BINS = 8
_WAVES = 4
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Looks:
    """The appearance of mistakes, by their row.

    Attributes:
        features: for distances, one block of numbers after the other [n, features].
        plain: luma 0 to 1, contrast (its deviation), warmth (red minus blue), slenderness (log height over width), side (-1 left, 1 right) [n, 5].
        rows: rows of the mistakes that could be looked at.
    """

    features: Floats
    plain: Floats
    rows: tuple[int, ...]


def look_at(frames: Any, mistakes: Sequence[Mistake], progress: Callable[[int, int, str], None]) -> Looks:
    """Look at every mistake whose frame's image is there; each image is decoded once.

    Args:
        frames: the frame table, a `pyarrow.dataset.Dataset`.
        mistakes: all.
        progress: told how many frames are done, of how many.
    """
    by_frame: dict[str, list[Mistake]] = {}
    for mistake in mistakes:
        by_frame.setdefault(mistake.frame_id, []).append(mistake)
    found: dict[int, tuple[Floats, Floats]] = {}
    wanted = pc.field("frame_id").isin(pa.array(sorted(by_frame), type=pa.string()))
    done = 0
    for batch in frames.to_batches(columns=["frame_id", "image"], filter=wanted, batch_size=64):
        for id_, data in zip(batch["frame_id"].to_pylist(), batch["image"], strict=True):
            done += 1
            progress(done, len(by_frame), "pictures")
            image = _decode(data.as_py())
            if image is not None:
                found.update({mistake.row: _numbers(image, mistake.box) for mistake in by_frame[id_]})
    rows = tuple(sorted(found))
    width = _BINS * 2 + 2 + _WAVES * _WAVES
    features = np.array([found[row][0] for row in rows], dtype=np.float64).reshape(-1, width)
    plain = np.array([found[row][1] for row in rows], dtype=np.float64).reshape(-1, len(PLAIN))
    return Looks(features, plain, rows)


def crop_box(box: Sequence[float], size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """Give left, top, right, bottom of a box with some of its surroundings, inside an image of (width, height), at least 2 px each way."""
    x, y, width, height = box
    left, top = int(max(0, min(size[0] - 2, x - margin * width))), int(max(0, min(size[1] - 2, y - margin * height)))
    right = int(min(size[0], max(left + 2, round(x + (1 + margin) * width))))
    bottom = int(min(size[1], max(top + 2, round(y + (1 + margin) * height))))
    return left, top, right, bottom


def _decode(data: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return upright(opened).convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None


def _numbers(image: Image.Image, box: Sequence[float]) -> tuple[Floats, Floats]:
    from scipy.fft import dctn

    small = image.crop(crop_box(box, image.size, _MARGIN)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    rgb = np.asarray(small, dtype=np.float64) / 255
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    contrast = float(luma.std())
    centered = (luma - luma.mean()) / max(contrast, 0.02)
    down, across = np.gradient(centered)
    strength = np.hypot(down, across)
    direction = np.mod(np.arctan2(down, across), np.pi)  # an edge has no front: dark to bright is as bright to dark
    edges, _ = np.histogram(direction, bins=_BINS, range=(0, np.pi), weights=strength)
    brightness, _ = np.histogram(luma, bins=_BINS, range=(0, 1))
    red_blue, green = float((rgb[..., 0] - rgb[..., 2]).mean()), float((rgb[..., 1] - rgb[..., [0, 2]].mean(axis=2)).mean())
    waves = np.asarray(dctn(centered, norm="ortho"))[:_WAVES, :_WAVES].ravel() / _SIDE
    features = np.concatenate([brightness / luma.size, edges / max(float(strength.sum()), 1e-9), [4 * red_blue, 4 * green], waves])
    x, _, width, height = box
    plain = [
        float(luma.mean()),
        contrast,
        red_blue,
        float(np.log(max(height, 1.0) / max(width, 1.0))),
        float(2 * (x + width / 2) / image.width - 1),
    ]
    return features.round(_DECIMALS), np.array(plain).round(_DECIMALS)
