"""The training loop for any heads: AdamW with warm-up, decay and averaged weights. Torch's global state is fixed, so a seed gives the same bytes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from tracecore import RunFailed
from tracecore_training.architecture import MultiTask
from tracecore_training.checkpoint import Checkpoints, TrainingState
from tracecore_training.model_files import Curves
from tracecore_training.objectives import Objective, draw_batch
from tracecore_training.parameters import Augment, LearningSchedule
from tracecore_training.training_data import Examples

__all__ = ["Schedule", "reproducible", "train"]


@contextmanager
def reproducible(*, seed: int, threads: int) -> Iterator[torch.Generator]:
    """Fix torch's thread count, deterministic mode and seed (any integer, modulo 2^64) in a block, and restore them at its end.

    The thread count matters since it changes rounding. Yields the generator that all randomness in the block must come from.
    """
    before_threads = torch.get_num_threads()
    before_mode = torch.get_deterministic_debug_mode()
    generator = torch.Generator().manual_seed(seed % 2**64)
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_num_threads(threads)
            # like use_deterministic_algorithms(True), but without its slow import of torch's compiler
            torch.set_deterministic_debug_mode("error")
            # layers initialize their weights from the global generator
            torch.manual_seed(seed % 2**64)
            yield generator
        finally:
            torch.set_deterministic_debug_mode(before_mode)
            torch.set_num_threads(before_threads)


_GREATEST_NORM = 20.0
_POINTS = 200  # per curve
_STEP_DOWN, _STEP_FACTOR = 3, 0.1  # decay `step` multiplies the rate by 0.1 after each third


@dataclass(frozen=True, slots=True)
class Schedule:
    """Number of steps, batch size, decay of the weights' moving average (0 takes the last weights), and the learning rate's course."""

    steps: int
    batch: int
    ema: float
    learning: LearningSchedule

    def rate(self, step: int) -> float:
        """Return the learning rate at a training step, counted from 0."""
        highest = self.learning.learning_rate
        rising = max(1, round(self.steps * self.learning.warm_up))
        if step < rising:
            return highest * (step + 1) / rising
        if self.learning.decay == "constant":
            return highest
        if self.learning.decay == "step":
            passed = (step - rising) * _STEP_DOWN // max(1, self.steps - rising)
            return float(highest * _STEP_FACTOR**passed)
        return highest * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))


def train(
    model: MultiTask,
    examples: Examples,
    objectives: Sequence[Objective],
    schedule: Schedule,
    how: Augment,
    generator: torch.Generator,
    progress: Callable[[int, int, str], None],
    checkpoints: Checkpoints | None = None,
) -> tuple[MultiTask, Curves, int | None]:
    """Train a model in place. Return (a copy with averaged weights, training curves, step from which the training resumed or None).

    `checkpoints` saves and resumes the state without changing the result. Raises RunFailed if a loss or the gradient is not finite.
    """
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stubs leave this form out
    average = copy.deepcopy(model)
    kept = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    free = [parameter for parameter in model.parameters() if parameter.ndim == 1]  # norms and biases aren't decayed
    groups = [{"params": kept, "weight_decay": schedule.learning.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning.learning_rate, betas=(0.9, 0.99), fused=True)
    state = TrainingState(model, average, optimizer, generator, Curves.of([term for objective in objectives for term in objective.weights]))
    resumed_at = checkpoints.resume(state) if checkpoints else None
    curves = state.curves
    every = max(1, schedule.steps // _POINTS)
    for step in range(state.step, schedule.steps):
        while len(state.order) < schedule.batch:
            state.order += torch.randperm(len(examples.images), generator=generator).tolist()
        chosen, state.order = state.order[: schedule.batch], state.order[schedule.batch :]
        rate = schedule.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = draw_batch(examples, chosen, how, generator)
        maps = model.maps(batch.images)
        terms = {name: (objective.weights[name], term) for objective in objectives for name, term in objective.terms(maps, batch).items()}
        total = _optimize(model, optimizer, terms, step, schedule.steps)
        _update_average(average, model, schedule.ema, step)
        curves.add({"": total, **{name: term.item() for name, (_, term) in terms.items()}})
        state.step = step + 1
        if curves.since == every or step + 1 == schedule.steps:
            curves.close(step + 1, rate)
            progress(step + 1, schedule.steps, f"loss {curves.losses[''][-1]:.3f}")
        if checkpoints and step + 1 < schedule.steps:
            checkpoints.keep(state)
    return average.eval(), curves, resumed_at


def _optimize(model: MultiTask, optimizer: torch.optim.Optimizer, terms: dict[str, tuple[float, Tensor]], step: int, steps: int) -> float:
    """Take an optimizer step on the weighted sum of terms (weight, loss); return the sum. Raises RunFailed if a loss or gradient is not finite."""
    for name, (_, term) in terms.items():
        _require_finite(f"{name} loss", term, step, steps)
    total = torch.stack([weight * term for weight, term in terms.values()]).sum()
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), _GREATEST_NORM)
    _require_finite("gradient of the loss", norm, step, steps)
    optimizer.step()
    return total.item()


def _require_finite(term: str, value: Tensor, step: int, steps: int) -> None:
    if not math.isfinite(number := value.item()):
        raise RunFailed(
            f"Training stopped at step {step + 1} of {steps}: the {term} is {number}, expected a finite number. "
            "Lower learning_rate, or look at the frames and labels."
        )


@torch.no_grad()
def _update_average(average: MultiTask, model: MultiTask, keep: float, step: int) -> None:
    """Update in place `average`, the moving average of the model's weights. The decay rises with `step` to `keep`."""
    weight = 1 - min(keep, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)
        else:
            mean.copy_(value)
