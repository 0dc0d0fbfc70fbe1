"""Loss functions of the heads, and the batches that they are computed on."""

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
from tracecore_training.augmentation import change_images, draw_changes, move_boxes
from tracecore_training.parameters import Augment
from tracecore_training.targets import Targets, draw_focus, draw_targets
from tracecore_training.training_data import UNKNOWN_STATE, Examples

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
    """Return the focal loss of class heat map logits [N, C, h, w], per object (CenterNet, Zhou et al. 2019, equation 1; alpha 2, beta 4)."""
    probability = logits.sigmoid()
    positive = (targets.heat == 1).to(logits.dtype)
    # log(p) and log(1-p) from the logits stay exact where the sigmoid saturates
    hit = functional.logsigmoid(logits) * (1 - probability).square() * positive
    miss = functional.logsigmoid(-logits) * probability.square() * (1 - targets.heat).pow(4) * (1 - positive)
    return -((hit + miss) * targets.counted).sum() / max(targets.objects, 1)


def side_loss(sides: Tensor, targets: Targets) -> Tensor:
    """Return the mean of 1 - generalized IoU (Rezatofighi et al. 2019), weighted by cell, of box sides [N, 4, h, w] in px; 0 without objects."""
    left, top, right, bottom = sides.unbind(1)
    want_left, want_top, want_right, want_bottom = targets.sides.unbind(1)
    overlap = (left.minimum(want_left) + right.minimum(want_right)).clamp(min=0) * (top.minimum(want_top) + bottom.minimum(want_bottom)).clamp(min=0)
    union = (left + right) * (top + bottom) + (want_left + want_right) * (want_top + want_bottom) - overlap
    hull = (left.maximum(want_left) + right.maximum(want_right)) * (top.maximum(want_top) + bottom.maximum(want_bottom))
    generalized = overlap / union - (hull - union) / hull
    return ((1 - generalized) * targets.weight).sum() / targets.weight.sum().clamp(min=1e-6)


def path_loss(offsets: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
    """Return the smooth L1 loss (Girshick 2015, equation 3) of a path's lateral offsets, averaged over the labeled ones; 0 without any.

    Args:
        offsets: predicted offsets [N, P], m to the left.
        wanted: labeled offsets [N, P], m to the left; NaN where not labeled.
        scale: unit of the loss at each distance, [P] m.
    """
    known = wanted.isfinite()
    apart = (offsets - torch.where(known, wanted, offsets.detach())) / scale
    return functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none").mul(known).sum() / known.sum().clamp(min=1)


def light_loss(logits: Tensor, states: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross entropy of traffic light states, averaged over images with a labeled state; 0 without any.

    Args:
        logits: predicted logits of S states, [N, S].
        states: labeled state index [N]; -1 where not labeled.
        weights: [S], weight of each state.
    """
    known = states >= 0
    # a product instead of an index, since torch's cross entropy is not deterministic on every device
    wanted = functional.one_hot(states.clamp(min=0), len(weights)).to(logits.dtype) * weights * known[:, None]
    return -(wanted * logits.log_softmax(dim=1)).sum() / wanted.sum().clamp(min=1e-6)


def focus_loss(focus: Tensor, wanted: Tensor) -> Tensor:
    """Return minus the log of the share of attention on the traffic light's cells, averaged over images that show a light; 0 without any.

    Args:
        focus: [N, h, w], attention logits.
        wanted: [N, h, w] bool, the cells of the light.
    """
    logits, cells = focus.flatten(1), wanted.flatten(1)
    shown = cells.any(dim=1)
    # an image without a light gets all cells, so that both sums are equal: no loss and no gradient
    on_light = logits.masked_fill(~(cells | ~shown[:, None]), float("-inf")).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - on_light).sum() / shown.sum().clamp(min=1)


_LEAST_SCALE = 0.1  # m; keeps training on straight roads from overweighting millimeters
_GREATEST_WEIGHT = 6.0  # keeps a few frames of a rare state from dominating the training


@dataclass(frozen=True, slots=True)
class Batch:
    """Augmented images and their labels.

    Attributes:
        images: [N, 3, H, W] float32, 0 to 1.
        boxes: per image [B, 4], x1, y1, x2, y2 in px.
        indices: per image [B], class index or `IGNORED`.
        fully_labeled: [N] bool, whether all objects are labeled.
        paths: [N, P] m to the left; NaN where unknown or the image is zoomed.
        states: [N] light state index; -1 where unknown or the image is zoomed.
    """

    images: Tensor
    boxes: list[NDArray[np.float32]]
    indices: list[NDArray[np.int64]]
    fully_labeled: NDArray[np.bool_]
    paths: Tensor
    states: Tensor


def draw_batch(examples: Examples, chosen: list[int], how: Augment, generator: torch.Generator) -> Batch:
    """Return a batch of the examples with the indices `chosen`, with images and labels randomly augmented.

    A mirrored image's path is mirrored too. A zoomed image teaches boxes only: it may not show the road's direction or all lights.
    """
    changes = draw_changes(len(chosen), how, generator)
    images = change_images(examples.images[chosen], changes, how)
    _, _, height, width = images.shape
    boxes, indices = move_boxes([examples.boxes[n] for n in chosen], [examples.indices[n] for n in chosen], changes, height=height, width=width)
    sides = torch.where(changes.mirrored, -1.0, 1.0)[:, None]
    paths = torch.where(changes.whole[:, None], torch.from_numpy(examples.paths[chosen]) * sides, torch.nan)
    states = torch.where(changes.whole, torch.from_numpy(examples.states[chosen]), UNKNOWN_STATE)
    return Batch(images, boxes, indices, examples.fully_labeled[chosen], paths, states)


class Objective(Protocol):
    """The loss of one head."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each of the head's loss terms in the total loss, by name."""

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the head's loss terms for a batch, by name, as scalars without weights. `maps`: the model's outputs for the batch."""


@dataclass(frozen=True, slots=True)
class ObstacleObjective:
    """Loss of the obstacle head: box centers and sides."""

    classes: int
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the obstacle head's losses for a batch: `center` (of the heat maps) and `box` (of the box sides)."""
        assert maps.centers is not None  # the model was built with this head
        assert maps.sides is not None
        _, _, height, width = batch.images.shape
        targets = draw_targets(batch.boxes, batch.indices, count=self.classes, height=height, width=width, fully_labeled=batch.fully_labeled)
        return {"center": center_loss(maps.centers, targets), "box": side_loss(maps.sides, targets)}


@dataclass(frozen=True, slots=True)
class PathObjective:
    """Loss of the path head; `scale` [P], m, is the unit of each distance's offset."""

    scale: Tensor
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the path head's loss for a batch, as `path`."""
        assert maps.path is not None  # the model was built with this head
        return {"path": path_loss(maps.path, batch.paths, self.scale)}


@dataclass(frozen=True, slots=True)
class LightObjective:
    """Loss of the light head: the state, weighted by `states` [S], and the light's place, taught by boxes of class `where` unless None."""

    states: Tensor
    weights: Mapping[str, float]
    where: int | None = None

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the light head's losses for a batch: `light` (of the state), and `focus` (of the attention) if boxes of lights teach it."""
        assert maps.light is not None  # the model was built with this head
        assert maps.focus is not None
        terms = {"light": light_loss(maps.light, batch.states, self.states)}
        if self.where is not None:
            terms["focus"] = focus_loss(maps.focus, draw_focus(batch.boxes, batch.indices, self.where, maps.focus.shape))
        return terms


def path_scale(paths: NDArray[np.float32]) -> Tensor:
    """Return the root mean square of path offsets at each distance [P], at least 0.1 m. `paths`: offsets [F, P] in m, NaN where not labeled."""
    known = np.isfinite(paths)
    squares = np.where(known, paths, 0).astype(np.float64) ** 2
    return torch.from_numpy(np.sqrt(squares.sum(axis=0) / known.sum(axis=0).clip(1)).clip(_LEAST_SCALE).astype(np.float32))


def state_weights(states: NDArray[np.int64], count: int) -> Tensor:
    """Return loss weights [S] that balance light states by frequency, at most 6; 0 for a state on no frame. `states` [F]: index, -1 if unlabeled."""
    frames = np.bincount(states[states >= 0], minlength=count)
    alike = frames.sum() / max(1, int((frames > 0).sum()))
    return torch.from_numpy(np.where(frames > 0, np.minimum(alike / frames.clip(1), _GREATEST_WEIGHT), 0).astype(np.float32))
