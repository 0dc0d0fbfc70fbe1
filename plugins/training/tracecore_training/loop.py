"""The training loop: so many steps of AdamW, with warm-up, cosine, and an average of the weights over time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tracecore import RunFailed
from tracecore_training.architecture import STRIDE, CenterDetector
from tracecore_training.augmentation import Augmentation, augment
from tracecore_training.examples import Examples
from tracecore_training.losses import center_loss, side_loss
from tracecore_training.targets import draw_targets

__all__ = ["Curves", "Schedule", "train"]

_SIDE_WEIGHT = 2.0
_GREATEST_NORM = 20.0
_POINTS = 200  # of a curve


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: number of batches.
        batch: images per batch.
        learning_rate: at its highest.
        weight_decay: of convolution weights.
        warm_up: share of the steps in which the learning rate rises.
        ema: how much of the averaged weights each step keeps; 0 takes the last weights as they are.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warm_up: float
    ema: float

    def rate(self, step: int) -> float:
        """Give the learning rate of a step, from 0."""
        rising = max(1, round(self.steps * self.warm_up))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))


@dataclass(frozen=True, slots=True)
class Curves:
    """What the training looked like, each point the mean over the steps since the one before."""

    step: list[int]
    center: list[float]
    sides: list[float]
    total: list[float]
    learning_rate: list[float]


def train(
    model: CenterDetector,
    examples: Examples,
    schedule: Schedule,
    how: Augmentation,
    generator: torch.Generator,
    progress: Callable[[int, int, str], None],
) -> tuple[CenterDetector, Curves]:
    """Train a model in place.

    Args:
        model: fresh weights.
        examples: images and boxes.
        schedule: how long and how fast.
        how: augmentation.
        generator: the one source of chance.
        progress: told (step, steps, loss).

    Returns:
        The averaged model, and the curves.

    Raises:
        RunFailed: a loss or the gradient is no finite number.
    """
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stubs leave this form out
    average = copy.deepcopy(model)
    kept = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    free = [parameter for parameter in model.parameters() if parameter.ndim == 1]  # norms and biases aren't decayed
    groups = [{"params": kept, "weight_decay": schedule.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.99), fused=True)
    curves = Curves([], [], [], [], [])
    sums, since = np.zeros(3), 0
    every = max(1, schedule.steps // _POINTS)
    order: list[int] = []
    for step in range(schedule.steps):
        while len(order) < schedule.batch:
            order += torch.randperm(len(examples.images), generator=generator).tolist()
        chosen, order = order[: schedule.batch], order[schedule.batch :]
        rate = schedule.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = _step(model, optimizer, examples, chosen, how, generator, step, schedule.steps)
        _average(average, model, schedule.ema, step)
        sums, since = sums + losses, since + 1
        if since == every or step + 1 == schedule.steps:
            center, sides, total = (float(value) for value in sums / since)
            curves.step.append(step + 1)
            curves.center.append(center)
            curves.sides.append(sides)
            curves.total.append(total)
            curves.learning_rate.append(rate)
            progress(step + 1, schedule.steps, f"loss {total:.3f}")
            sums, since = np.zeros(3), 0
    return average.eval(), curves


def _step(
    model: CenterDetector,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    chosen: list[int],
    how: Augmentation,
    generator: torch.Generator,
    step: int,
    steps: int,
) -> np.ndarray:
    images, boxes, indices = augment(
        examples.images[chosen], [examples.boxes[n] for n in chosen], [examples.indices[n] for n in chosen], how, generator
    )
    _, _, height, width = images.shape
    targets = draw_targets(boxes, indices, count=len(examples.classes), height=height, width=width, stride=STRIDE)
    logits, distances = model.maps(images)
    center, sides = center_loss(logits, targets), side_loss(distances, targets)
    total = center + _SIDE_WEIGHT * sides
    _demand_finite("center loss", center, step, steps)
    _demand_finite("box loss", sides, step, steps)
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), _GREATEST_NORM)
    _demand_finite("gradient of the loss", norm, step, steps)
    optimizer.step()
    return np.array([center.item(), sides.item(), total.item()])


def _demand_finite(term: str, value: Tensor, step: int, steps: int) -> None:
    if not math.isfinite(number := value.item()):
        raise RunFailed(
            f"Training stopped at step {step + 1} of {steps}: the {term} is {number}, expected a finite number. "
            "Lower learning_rate, or look at the frames and labels."
        )


@torch.no_grad()
def _average(average: CenterDetector, model: CenterDetector, keep: float, step: int) -> None:
    """Move the averaged weights towards the model's: by much at first, when the model changes by much."""
    weight = 1 - min(keep, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:
            mean.copy_(value)
