"""Changes to training images that leave what they show the same: mirror, zoom, shift, light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracecore_training.targets import IGNORED

__all__ = ["Augmentation", "augment"]

_LEAST_VISIBLE = 0.3  # share of a box that must still be seen for it to be an example; below, nothing there counts
_LEAST_SIDE = 1.5  # px


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far images are changed.

    Attributes:
        flip: share of images mirrored left to right.
        zoom: greatest factor by which an image is enlarged; it is shrunk by its square root at most.
        jitter: how far brightness, contrast and color go, 0 not at all.
    """

    flip: float
    zoom: float
    jitter: float


def augment(
    images: NDArray[np.uint8],
    boxes: list[NDArray[np.float32]],
    indices: list[NDArray[np.int64]],
    how: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, list[NDArray[np.float32]], list[NDArray[np.int64]]]:
    """Change a batch.

    Args:
        images: [N, H, W, 3] uint8 RGB.
        boxes: per image [B, 4] in pixels.
        indices: per image [B] class index.
        how: how far.
        generator: the one source of chance.

    Returns:
        Images [N, 3, H, W] float32 0 to 1, in channels-last memory, and the boxes and classes that remain.
    """
    count, height, width, _ = images.shape
    chance = torch.rand(count, 8, generator=generator)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mirrored = chance[:, 0] < how.flip
    scale = torch.exp(math.log(how.zoom) * (1.5 * chance[:, 1] - 0.5))  # 1/sqrt(zoom) to zoom
    # the part of the picture that is shown: all positions that stay inside it (or hold all of it) are equally likely
    shift_x = (2 * chance[:, 2] - 1) * (1 - 1 / scale)
    shift_y = (2 * chance[:, 3] - 1) * (1 - 1 / scale)
    if how.flip or how.zoom > 1:
        sign = torch.where(mirrored, -1.0, 1.0)
        affine = torch.zeros(count, 2, 3)
        affine[:, 0, 0], affine[:, 0, 2] = sign / scale, shift_x
        affine[:, 1, 1], affine[:, 1, 2] = 1 / scale, shift_y
        grid = functional.affine_grid(affine, [count, 3, height, width], align_corners=False)
        batch = functional.grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if how.jitter:
        batch = _relight(batch, 2 * chance[:, 4:] - 1, how.jitter)
    moved = [
        _move(of_image, classes, bool(mirrored[n]), float(scale[n]), float(shift_x[n]), float(shift_y[n]), height, width)
        for n, (of_image, classes) in enumerate(zip(boxes, indices, strict=True))
    ]
    return batch.contiguous(memory_format=torch.channels_last), [box for box, _ in moved], [index for _, index in moved]


def _relight(batch: Tensor, chance: Tensor, jitter: float) -> Tensor:
    """Change gamma (so that day may look like dusk), contrast, saturation and the balance of red and blue."""
    gamma, contrast, saturation, warmth = (torch.exp(jitter * chance[:, n])[:, None, None, None] for n in range(4))
    batch = batch.clamp(1e-4, 1).pow(gamma.square())
    gray = batch.mean(dim=1, keepdim=True)
    batch = gray + (batch - gray) * saturation
    mean = gray.mean(dim=(2, 3), keepdim=True)
    batch = mean + (batch - mean) * contrast
    tint = torch.cat([warmth.pow(0.3), torch.ones_like(warmth), warmth.pow(-0.3)], dim=1)
    return (batch * tint).clamp(0, 1)


def _move(
    boxes: NDArray[np.float32], indices: NDArray[np.int64], mirrored: bool, scale: float, shift_x: float, shift_y: float, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Move boxes as the sampling grid moves the picture: a grid coordinate g in -1..1 shows the source at a*g + shift."""
    if not len(boxes):
        return boxes, indices
    sign = -1.0 if mirrored else 1.0
    extent = np.array([width, height, width, height], np.float32)
    shift = np.array([shift_x, shift_y, shift_x, shift_y], np.float32)
    direction = np.array([sign, 1, sign, 1], np.float32)
    moved = (((2 * boxes / extent - 1) - shift) * scale * direction + 1) / 2 * extent
    if mirrored:
        moved = moved[:, [2, 1, 0, 3]]
    whole = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
    cut = moved.clip(0, extent)
    sides = cut[:, 2:] - cut[:, :2]
    seen = (sides > 0).all(axis=1)
    clear = (sides >= _LEAST_SIDE).all(axis=1) & (sides.prod(axis=1) >= _LEAST_VISIBLE * whole)
    return cut[seen].astype(np.float32), np.where(clear, indices, IGNORED)[seen]
