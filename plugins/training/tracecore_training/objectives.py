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
    """Return the focal loss of heat map logits [N, C, h, w] (CenterNet, Zhou et al. 2019, equation 1; alpha 2, beta 4), averaged over objects."""
    probability = logits.sigmoid()
    positive = (targets.heat == 1).to(logits.dtype)
    # log(p) and log(1-p) from the logits stay exact where the sigmoid saturates
    hit = functional.logsigmoid(logits) * (1 - probability).square() * positive
    miss = functional.logsigmoid(-logits) * probability.square() * (1 - targets.heat).pow(4) * (1 - positive)
    return -((hit + miss) * targets.counted).sum() / max(targets.objects, 1)


def side_loss(sides: Tensor, targets: Targets) -> Tensor:
    """Return one minus the generalized IoU (Rezatofighi et al. 2019) of `sides` [N, 4, h, w] in px, averaged by cell weight; 0 without objects."""
    left, top, right, bottom = sides.unbind(1)
    want_left, want_top, want_right, want_bottom = targets.sides.unbind(1)
    overlap = (left.minimum(want_left) + right.minimum(want_right)).clamp(min=0) * (top.minimum(want_top) + bottom.minimum(want_bottom)).clamp(min=0)
    union = (left + right) * (top + bottom) + (want_left + want_right) * (want_top + want_bottom) - overlap
    hull = (left.maximum(want_left) + right.maximum(want_right)) * (top.maximum(want_top) + bottom.maximum(want_bottom))
    generalized = overlap / union - (hull - union) / hull
    return ((1 - generalized) * targets.weight).sum() / targets.weight.sum().clamp(min=1e-6)


def path_loss(offsets: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
    """Return the smooth L1 loss (Girshick 2015, equation 3) of lateral offsets in units of `scale`, averaged over known values; 0 without any.

    Args:
        offsets: [N, P] m to the left.
        wanted: [N, P]; NaN where unknown.
        scale: [P] m.
    """
    known = wanted.isfinite()
    apart = (offsets - torch.where(known, wanted, offsets.detach())) / scale
    return functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none").mul(known).sum() / known.sum().clamp(min=1)


def light_loss(logits: Tensor, states: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross entropy of light states, averaged over images with a known state; 0 without any.

    Args:
        logits: [N, S].
        states: [N] state index; -1 where unknown.
        weights: [S], weight of each state.
    """
    known = states >= 0
    # a product instead of an index, since torch's cross entropy is not deterministic on every device
    wanted = functional.one_hot(states.clamp(min=0), len(weights)).to(logits.dtype) * weights * known[:, None]
    return -(wanted * logits.log_softmax(dim=1)).sum() / wanted.sum().clamp(min=1e-6)


def focus_loss(focus: Tensor, wanted: Tensor) -> Tensor:
    """Return minus the log of the attention on the traffic light's cells, averaged over images that show one; 0 without any.

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
    """Return the `chosen` examples, randomly augmented with their labels.

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
        """Weight of each loss term, by name."""

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the unweighted loss terms, scalars, in the order of `weights`."""


@dataclass(frozen=True, slots=True)
class ObstacleObjective:
    """Loss of the obstacle head: box centers and sides."""

    classes: int
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms `center` and `box`."""
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
        """Return the loss term `path`."""
        assert maps.path is not None  # the model was built with this head
        return {"path": path_loss(maps.path, batch.paths, self.scale)}


@dataclass(frozen=True, slots=True)
class LightObjective:
    """Loss of the light head: the state, weighted by `states` [S], and the light's place, taught by boxes of class `where` unless None."""

    states: Tensor
    weights: Mapping[str, float]
    where: int | None = None

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the loss term `light`, and `focus` if boxes of lights teach the attention."""
        assert maps.light is not None  # the model was built with this head
        assert maps.focus is not None
        terms = {"light": light_loss(maps.light, batch.states, self.states)}
        if self.where is not None:
            terms["focus"] = focus_loss(maps.focus, draw_focus(batch.boxes, batch.indices, self.where, maps.focus.shape))
        return terms


def path_scale(paths: NDArray[np.float32]) -> Tensor:
    """Return the root mean square of the known path offsets at each distance [P], at least 0.1 m, for paths [F, P] in m, NaN where unknown."""
    known = np.isfinite(paths)
    squares = np.where(known, paths, 0).astype(np.float64) ** 2
    return torch.from_numpy(np.sqrt(squares.sum(axis=0) / known.sum(axis=0).clip(1)).clip(_LEAST_SCALE).astype(np.float32))


def state_weights(states: NDArray[np.int64], count: int) -> Tensor:
    """Return weights [S] that balance the light states by frequency, at most 6, 0 for one on no frame; `states` [F] are indices, -1 if unknown."""
    frames = np.bincount(states[states >= 0], minlength=count)
    alike = frames.sum() / max(1, int((frames > 0).sum()))
    return torch.from_numpy(np.where(frames > 0, np.minimum(alike / frames.clip(1), _GREATEST_WEIGHT), 0).astype(np.float32))
