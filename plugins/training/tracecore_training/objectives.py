"""What each head learns of a batch: one objective per head with the terms of its loss, all trained by the same loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracecore_training.architecture import Maps
from tracecore_training.augmentation import Augmentation, change_images, draw_changes, move_boxes
from tracecore_training.backbone import STRIDE
from tracecore_training.targets import Targets, draw_focus, draw_targets
from tracecore_training.training_data import UNSAID, Examples

__all__ = [
    "Batch",
    "LightObjective",
    "Objective",
    "ObstacleObjective",
    "PathObjective",
    "center_loss",
    "draw_batch",
    "focus_loss",
    "light_loss",
    "path_loss",
    "path_scale",
    "side_loss",
    "state_weights",
]


def center_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Judge heat maps: the focal loss of CenterNet (Zhou et al. 2019, equation 1; alpha 2, beta 4), a mean over objects.

    Args:
        logits: [N, C, h, w].

    Returns:
        A scalar.
    """
    probability = logits.sigmoid()
    positive = (targets.heat == 1).to(logits.dtype)
    # log(p) and log(1-p) from the logits: exact where the sigmoid has saturated
    hit = functional.logsigmoid(logits) * (1 - probability).square() * positive
    miss = functional.logsigmoid(-logits) * probability.square() * (1 - targets.heat).pow(4) * (1 - positive)
    return -((hit + miss) * targets.counted).sum() / max(targets.objects, 1)


def side_loss(sides: Tensor, targets: Targets) -> Tensor:
    """Judge boxes: one minus the generalized IoU (Rezatofighi et al. 2019), weighted by cell.

    Args:
        sides: [N, 4, h, w], distances to left, top, right, bottom in px.

    Returns:
        A scalar, 0 to 2; 0 where the batch holds no object.
    """
    left, top, right, bottom = sides.unbind(1)
    want_left, want_top, want_right, want_bottom = targets.sides.unbind(1)
    overlap = (left.minimum(want_left) + right.minimum(want_right)).clamp(min=0) * (top.minimum(want_top) + bottom.minimum(want_bottom)).clamp(min=0)
    union = (left + right) * (top + bottom) + (want_left + want_right) * (want_top + want_bottom) - overlap
    hull = (left.maximum(want_left) + right.maximum(want_right)) * (top.maximum(want_top) + bottom.maximum(want_bottom))
    generalized = overlap / union - (hull - union) / hull
    return ((1 - generalized) * targets.weight).sum() / targets.weight.sum().clamp(min=1e-6)


def path_loss(offsets: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
    """Return the loss of paths: smooth L1 (Girshick 2015, equation 3) in units of each distance's own scale, a mean over known values.

    Args:
        offsets: [N, P] m to the left.
        wanted: [N, P]; NaN where unknown.
        scale: [P] m.

    Returns:
        A scalar; 0 where nothing in the batch is known.
    """
    known = wanted.isfinite()
    apart = (offsets - torch.where(known, wanted, offsets.detach())) / scale
    return functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none").mul(known).sum() / known.sum().clamp(min=1)


def light_loss(logits: Tensor, states: Tensor, weights: Tensor) -> Tensor:
    """Return the loss of the light's state: cross entropy, weighted by state, a mean over the images with a known state.

    Args:
        logits: [N, S].
        states: [N] index of the state; -1 where unknown.
        weights: [S], how much an image of each state counts.

    Returns:
        A scalar; 0 where nothing in the batch is known.
    """
    known = states >= 0
    # chosen by a product, not by an index: torch's own cross entropy has no deterministic form for every device
    wanted = functional.one_hot(states.clamp(min=0), len(weights)).to(logits.dtype) * weights * known[:, None]
    return -(wanted * logits.log_softmax(dim=1)).sum() / wanted.sum().clamp(min=1e-6)


def focus_loss(focus: Tensor, wanted: Tensor) -> Tensor:
    """Judge where the light head looks: minus the log of the attention that lies on the light, a mean over the images that show one.

    Args:
        wanted: [N, h, w] bool, the cells of the light.

    Returns:
        A scalar; 0 where no image shows one.
    """
    logits, cells = focus.flatten(1), wanted.flatten(1)
    shown = cells.any(dim=1)
    # an image without a light gets all of its cells: the same sum on both sides, so no cost and no pull
    on_light = logits.masked_fill(~(cells | ~shown[:, None]), float("-inf")).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - on_light).sum() / shown.sum().clamp(min=1)


_LEAST_SCALE = 0.1  # m: training on straight roads only must not make millimeters weigh
_GREATEST_WEIGHT = 6.0  # of a rare state: a handful of frames must not lead the whole training


@dataclass(frozen=True, slots=True)
class Batch:
    """Changed images and their labels.

    Attributes:
        images: [N, 3, H, W] float32, 0 to 1.
        boxes: per image [B, 4] in px.
        indices: per image [B] class index.
        looked_at: [N] bool, whether obstacles were looked for.
        paths: [N, P] m to the left; NaN where unknown, or where the image no longer shows it.
        states: [N] index of the light's state; -1 where unknown, or where the image may no longer show it.
    """

    images: Tensor
    boxes: list[NDArray[np.float32]]
    indices: list[NDArray[np.int64]]
    looked_at: NDArray[np.bool_]
    paths: Tensor
    states: Tensor


def draw_batch(examples: Examples, chosen: list[int], how: Augmentation, generator: torch.Generator) -> Batch:
    """Take frames and change them, with their labels.

    A mirrored image's path is mirrored too. A zoomed image counts for boxes only: it shows neither where the road lies nor all lights.
    """
    changes = draw_changes(len(chosen), how, generator)
    images = change_images(examples.images[chosen], changes, how)
    _, _, height, width = images.shape
    boxes, indices = move_boxes([examples.boxes[n] for n in chosen], [examples.indices[n] for n in chosen], changes, height=height, width=width)
    sides = torch.where(changes.mirrored, -1.0, 1.0)[:, None]
    paths = torch.where(changes.whole[:, None], torch.from_numpy(examples.paths[chosen]) * sides, torch.nan)
    states = torch.where(changes.whole, torch.from_numpy(examples.states[chosen]), UNSAID)
    return Batch(images, boxes, indices, examples.looked_at[chosen], paths, states)


class Objective(Protocol):
    """What one head is to learn."""

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each term counts, by the term's name."""

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return each term of the loss, a scalar, in the order of `weights`."""


@dataclass(frozen=True, slots=True)
class ObstacleObjective:
    """Boxes: where centers are, and how far their sides."""

    classes: int
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the terms `center` and `box`."""
        assert maps.centers is not None  # the model was built with this head
        assert maps.sides is not None
        _, _, height, width = batch.images.shape
        targets = draw_targets(batch.boxes, batch.indices, count=self.classes, height=height, width=width, stride=STRIDE, looked_at=batch.looked_at)
        return {"center": center_loss(maps.centers, targets), "box": side_loss(maps.sides, targets)}


@dataclass(frozen=True, slots=True)
class PathObjective:
    """The path: how far to the left at each distance.

    Attributes:
        scale: [P] m, one unit of each distance.
    """

    scale: Tensor
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the term `path`."""
        assert maps.path is not None  # the model was built with this head
        return {"path": path_loss(maps.path, batch.paths, self.scale)}


@dataclass(frozen=True, slots=True)
class LightObjective:
    """The light's state, and where in the image it is.

    Attributes:
        states: [S], how much an image of each state counts.
        where: index of the class whose boxes show where the light is; None teaches no place.
    """

    states: Tensor
    weights: Mapping[str, float]
    where: int | None = None

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the term `light`, and `focus` where that is taught."""
        assert maps.light is not None  # the model was built with this head
        assert maps.focus is not None
        terms = {"light": light_loss(maps.light, batch.states, self.states)}
        if self.where is not None:
            terms["focus"] = focus_loss(maps.focus, draw_focus(batch.boxes, batch.indices, self.where, maps.focus.shape))
        return terms


def path_scale(paths: NDArray[np.float32]) -> Tensor:
    """Return the scale of each distance: the root mean square of the known values there, 0.1 m at least.

    Args:
        paths: [F, P] m; NaN where unknown.
    """
    known = np.isfinite(paths)
    squares = np.where(known, paths, 0).astype(np.float64) ** 2
    return torch.from_numpy(np.sqrt(squares.sum(axis=0) / known.sum(axis=0).clip(1)).clip(_LEAST_SCALE).astype(np.float32))


def state_weights(states: NDArray[np.int64], count: int) -> Tensor:
    """Return each state the weight that all states would need to count alike, 6 at most; 0 to one that no frame shows.

    Args:
        states: [F] index of the state, or -1.
    """
    frames = np.bincount(states[states >= 0], minlength=count)
    alike = frames.sum() / max(1, int((frames > 0).sum()))
    return torch.from_numpy(np.where(frames > 0, np.minimum(alike / frames.clip(1), _GREATEST_WEIGHT), 0).astype(np.float32))
