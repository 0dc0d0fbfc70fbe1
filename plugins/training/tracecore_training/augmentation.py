"""Augmentation of training images and their boxes: mirror, zoom, shift and color changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracecore_training.parameters import Augment
from tracecore_training.targets import IGNORED

__all__ = ["Changes", "change_images", "draw_changes", "move_boxes"]

_LEAST_VISIBLE = 0.3  # visible share below which a box becomes `IGNORED`
_LEAST_SIDE = 1.5  # px


@dataclass(frozen=True, slots=True)
class Changes:
    """Random changes of a batch of N images.

    Attributes:
        mirrored: [N] bool.
        whole: [N] bool, not zoomed; a zoomed image no longer shows where the vehicle goes.
        scale: [N] enlargement.
        shift: [N, 2] center of the visible part, x and y, in sampling coordinates (-1 to 1).
        relight: [N, 4], -1 to 1: gamma, contrast, saturation, warmth.
    """

    mirrored: Tensor
    whole: Tensor
    scale: Tensor
    shift: Tensor
    relight: Tensor


def draw_changes(count: int, how: Augment, generator: torch.Generator) -> Changes:
    """Return random augmentations for a batch of `count` images, as strong as `how` allows. All randomness comes from `generator`."""
    chance = torch.rand(count, 8, generator=generator)
    zoomed = (chance[:, 1] < how.zoomed) & (how.zoom > 1)
    if how.zoomed < 1:
        zoomed[0] = False  # a batch of only zoomed images would teach neither path nor light
    place = torch.where(zoomed, chance[:, 1] / max(how.zoomed, 1e-9), torch.full((count,), 1 / 3))  # at a third the factor is 1
    scale = torch.where(zoomed, torch.exp(math.log(how.zoom) * (1.5 * place - 0.5)), torch.ones(count))  # 1/sqrt(zoom) to zoom
    # uniform over all positions where the visible part is inside the image, or the image inside the visible part
    shift = (2 * chance[:, 2:4] - 1) * (1 - 1 / scale)[:, None]
    return Changes(chance[:, 0] < how.flip, ~zoomed, scale, shift, 2 * chance[:, 4:] - 1)


def change_images(images: NDArray[np.uint8], changes: Changes, how: Augment) -> Tensor:
    """Return images [N, H, W, 3] uint8 augmented by `changes`, as [N, 3, H, W] float32, 0 to 1, in channels-last memory."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    if how.flip or how.zoom > 1:
        # an image that isn't zoomed is flipped exactly, without resampling
        batch = torch.where((changes.whole & changes.mirrored)[:, None, None, None], batch.flip(3), batch)
        if (zoomed := ~changes.whole).any():
            batch[zoomed] = _resample(batch[zoomed], changes, zoomed)
    if how.jitter:
        batch = _relight(batch, changes.relight, how.jitter)
    return batch.contiguous(memory_format=torch.channels_last)


def _resample(batch: Tensor, changes: Changes, chosen: Tensor) -> Tensor:
    """Return the images `batch` zoomed, shifted and mirrored. `chosen` masks the entries of `changes` that are for these images."""
    affine = torch.zeros(len(batch), 2, 3)
    affine[:, 0, 0], affine[:, 0, 2] = torch.where(changes.mirrored, -1.0, 1.0)[chosen] / changes.scale[chosen], changes.shift[chosen, 0]
    affine[:, 1, 1], affine[:, 1, 2] = 1 / changes.scale[chosen], changes.shift[chosen, 1]
    grid = functional.affine_grid(affine, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def move_boxes(
    boxes: list[NDArray[np.float32]], indices: list[NDArray[np.int64]], changes: Changes, *, height: int, width: int
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int64]]]:
    """Return (boxes, classes), lists by image, after augmentation: visible boxes [B, 4] in px, clipped; classes `IGNORED` if mostly cut off."""
    moved = [
        _move_boxes(of_image, classes, bool(changes.mirrored[n]), float(changes.scale[n]), changes.shift[n].numpy(), height, width)
        for n, (of_image, classes) in enumerate(zip(boxes, indices, strict=True))
    ]
    return [box for box, _ in moved], [index for _, index in moved]


def _relight(batch: Tensor, chance: Tensor, jitter: float) -> Tensor:
    """Return images with gamma, contrast, saturation and warmth changed by `jitter * chance` (log scale); `chance` is [N, 4], -1 to 1."""
    gamma, contrast, saturation, warmth = (torch.exp(jitter * chance[:, n])[:, None, None, None] for n in range(4))
    batch = batch.clamp(1e-4, 1).pow(gamma.square())
    gray = batch.mean(dim=1, keepdim=True)
    batch = gray + (batch - gray) * saturation
    mean = gray.mean(dim=(2, 3), keepdim=True)
    batch = mean + (batch - mean) * contrast
    tint = torch.cat([warmth.pow(0.3), torch.ones_like(warmth), warmth.pow(-0.3)], dim=1)
    return (batch * tint).clamp(0, 1)


def _move_boxes(
    boxes: NDArray[np.float32], indices: NDArray[np.int64], mirrored: bool, scale: float, shift: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return one image's boxes [B, 4] in px and their classes after augmentation: mirrored, enlarged by `scale`, moved by `shift`, and clipped."""
    if not len(boxes):
        return boxes, indices
    sign = -1.0 if mirrored else 1.0
    extent = np.array([width, height, width, height], np.float32)
    direction = np.array([sign, 1, sign, 1], np.float32)
    moved = (((2 * boxes / extent - 1) - np.concatenate([shift, shift])) * scale * direction + 1) / 2 * extent
    if mirrored:
        moved = moved[:, [2, 1, 0, 3]]
    whole = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
    cut = moved.clip(0, extent)
    sides = cut[:, 2:] - cut[:, :2]
    seen = (sides > 0).all(axis=1)
    clear = (sides >= _LEAST_SIDE).all(axis=1) & (sides.prod(axis=1) >= _LEAST_VISIBLE * whole)
    return cut[seen].astype(np.float32), np.where(clear, indices, IGNORED)[seen]
