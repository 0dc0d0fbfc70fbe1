"""What each head is to learn of a batch, and how far off it is: one objective a head, all trained by the same loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracecore_training.architecture import Maps
from tracecore_training.augmentation import Augmentation, change_images, draw_changes, move_boxes
from tracecore_training.body import STRIDE
from tracecore_training.examples import UNSAID, Examples
from tracecore_training.losses import center_loss, focus_loss, light_loss, path_loss, side_loss
from tracecore_training.targets import draw_focus, draw_targets

__all__ = ["Batch", "LightObjective", "Objective", "ObstacleObjective", "PathObjective", "draw_batch", "path_scale", "state_weights"]

_LEAST_SCALE = 0.1  # m: straight roads alone must not make millimeters weigh
_GREATEST_WEIGHT = 6.0  # of a rare state: a handful of frames must not lead the whole training


@dataclass(frozen=True, slots=True)
class Batch:
    """Changed images and what was said of them.

    Attributes:
        images: [N, 3, H, W] float32, 0 to 1.
        boxes: per image [B, 4] in px.
        indices: per image [B] class index.
        looked_at: [N] bool, whether obstacles were looked for.
        paths: [N, P] m to the left; NaN where nobody said it, or the image no longer shows it.
        states: [N] index of the light's state; -1 where nobody said it, or the image may no longer show it.
    """

    images: Tensor
    boxes: list[NDArray[np.float32]]
    indices: list[NDArray[np.int64]]
    looked_at: NDArray[np.bool_]
    paths: Tensor
    states: Tensor


def draw_batch(examples: Examples, chosen: list[int], how: Augmentation, generator: torch.Generator) -> Batch:
    """Take frames and change them, with what was said of them.

    A mirrored image's path is mirrored too. A zoomed image counts for boxes alone: it shows neither where the road lies nor all lights.
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
        """Give each term of the loss, a scalar, in the order of `weights`."""


@dataclass(frozen=True, slots=True)
class ObstacleObjective:
    """Boxes: where centers are, and how far their sides.

    Attributes:
        classes: how many.
        weights: of `center` and `box`.
    """

    classes: int
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Give the terms `center` and `box`."""
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
        weights: of `path`.
    """

    scale: Tensor
    weights: Mapping[str, float]

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Give the term `path`."""
        assert maps.path is not None  # the model was built with this head
        return {"path": path_loss(maps.path, batch.paths, self.scale)}


@dataclass(frozen=True, slots=True)
class LightObjective:
    """The light's state, and where in the image it is.

    Attributes:
        states: [S], how much an image of each state counts.
        weights: of `light`, and of `focus` where that is taught.
        where: index of the class whose boxes show where the light is; None teaches no place.
    """

    states: Tensor
    weights: Mapping[str, float]
    where: int | None = None

    def terms(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Give the term `light`, and `focus` where that is taught."""
        assert maps.light is not None  # the model was built with this head
        assert maps.focus is not None
        terms = {"light": light_loss(maps.light, batch.states, self.states)}
        if self.where is not None:
            terms["focus"] = focus_loss(maps.focus, draw_focus(batch.boxes, batch.indices, self.where, maps.focus.shape))
        return terms


def path_scale(paths: NDArray[np.float32]) -> Tensor:
    """Give the scale of each distance: the root mean square of what was said there, 0.1 m at least.

    Args:
        paths: [F, P] m; NaN where nobody said it.
    """
    said = np.isfinite(paths)
    squares = np.where(said, paths, 0).astype(np.float64) ** 2
    return torch.from_numpy(np.sqrt(squares.sum(axis=0) / said.sum(axis=0).clip(1)).clip(_LEAST_SCALE).astype(np.float32))


def state_weights(states: NDArray[np.int64], count: int) -> Tensor:
    """Give each state the weight that all states would need to count alike, 6 at most; 0 to one that no frame shows.

    Args:
        states: [F] index of the state, or -1.
        count: of states.
    """
    frames = np.bincount(states[states >= 0], minlength=count)
    alike = frames.sum() / max(1, int((frames > 0).sum()))
    return torch.from_numpy(np.where(frames > 0, np.minimum(alike / frames.clip(1), _GREATEST_WEIGHT), 0).astype(np.float32))
