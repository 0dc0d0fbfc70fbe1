"""Training of a model from a stage's settings: read the data, train, write the files, describe the result. Both training stages use it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracecore import Context, UsageError
from tracecore_training.architecture import MultiTask
from tracecore_training.checkpoint import Checkpoints
from tracecore_training.model_files import model_config, write_model
from tracecore_training.objectives import LightObjective, Objective, ObstacleObjective, PathObjective, path_scale, state_weights
from tracecore_training.parameters import Augment, Heads
from tracecore_training.targets import IGNORED
from tracecore_training.training_data import Examples, read_examples, read_labels
from tracecore_training.training_loop import Schedule, reproducible, train

__all__ = ["Settings", "fit"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a training; `size` is height and width of the input, px, and `width` a factor on all channel counts.

    `build` returns the untrained model for a `config.json`; a checkpoint is written every `checkpoint_every` steps, none if 0.
    """

    entry_point: str
    build: Callable[[dict[str, Any]], MultiTask]
    size: tuple[int, int]
    width: float
    schedule: Schedule
    augmentation: Augment
    checkpoint_every: int
    heads: Heads


@dataclass(frozen=True, slots=True)
class _Head:
    """A head in training: its loss function, and facts about its examples for the facet `tracecore_training`."""

    name: str
    objective: Objective
    facts: dict[str, Any]


def fit(settings: Settings, context: Context, frames: Any, labels: Any, folder: Path) -> dict[str, Any]:
    """Train a model on a frame table and a label table, write its files to `folder`, and return the content of the facet `tracecore_training`.

    Checkpoints go to the stage's scratch folder. Raises UsageError if a head has no labels, RunFailed if an image is damaged or a loss not finite.
    """
    height, width = settings.size
    log, threads = context.log, context.threads
    examples = read_examples(frames, read_labels(labels, settings.heads), height=height, width=width)
    log.info("%d labeled frames, %d boxes of %s", len(examples.images), examples.objects, ", ".join(examples.classes) or "no class")
    for reason, count in examples.ignored.items():
        if count:
            log.info("left out: %d %s", count, reason.replace("_", " "))
    heads = _heads(settings.heads, examples, log)
    config = model_config(settings.entry_point, settings.heads, examples.classes, size=settings.size, multiplier=settings.width)
    schedule = settings.schedule
    with reproducible(seed=context.seed, threads=threads) as generator:
        model = settings.build(config)
        checkpoints = Checkpoints(context.scratch(), every=settings.checkpoint_every, threads=threads, log=log)
        objectives = [head.objective for head in heads]
        trained, curves, resumed_at = train(model, examples, objectives, schedule, settings.augmentation, generator, context.progress, checkpoints)
    write_model(folder, trained, config, curves)
    losses = {name or "total": values[-1] for name, values in curves.losses.items()}
    facet: dict[str, Any] = {
        "steps": schedule.steps,
        "batch": schedule.batch,
        "seed": str(context.seed),
        "threads": threads,
        "parameters": sum(parameter.numel() for parameter in trained.parameters()),
        "classes": list(examples.classes),
        "frames": len(examples.images),
        "boxes": examples.objects,
        "ignored": dict(examples.ignored),
        "losses": losses,
        "heads": {
            head.name: {**head.facts, "losses": {name: losses[name] for name in head.objective.weights}, "weights": dict(head.objective.weights)}
            for head in heads
        },
    }
    return facet if resumed_at is None else {**facet, "resumed_at_step": resumed_at}


def _heads(wanted: Heads, examples: Examples, log: logging.Logger) -> list[_Head]:
    """Return the model's heads to train, with their loss functions and facts for the facet. Raises UsageError if no example has labels for a head."""
    heads: list[_Head] = []
    if wanted.obstacles is not None:
        weights = {"center": wanted.obstacles.loss.center, "box": wanted.obstacles.loss.box}
        boxed = examples.fully_labeled | np.array([(indices != IGNORED).any() for indices in examples.indices])
        facts: dict[str, Any] = {"frames": int(boxed.sum()), "boxes": examples.objects, "classes": list(examples.classes)}
        heads.append(_Head("obstacles", ObstacleObjective(len(examples.classes), weights), facts))
    if (path := wanted.path) is not None:
        known = np.isfinite(examples.paths)
        facts = {"frames": int(known.any(axis=1).sum()), "ahead_m": list(path.ahead_m), "frames_by_distance": known.sum(axis=0).tolist()}
        heads.append(_Head("path", PathObjective(path_scale(examples.paths), {"path": path.weight}), facts))
    if (light := wanted.light) is not None:
        states = examples.states[examples.states >= 0]
        counts = np.bincount(states, minlength=len(light.states)).tolist()
        unseen = [state for state, count in zip(light.states, counts, strict=True) if not count]
        if unseen and len(states):
            log.warning("no frame shows the light state %s: the model can't learn it", " or ".join(unseen))
        weights_of_states = state_weights(examples.states, len(light.states))
        facts = {
            "frames": len(states),
            "states": dict(zip(light.states, counts, strict=True)),
            "state_weights": dict(zip(light.states, (round(each, 4) for each in weights_of_states.tolist()), strict=True)),
        }
        weights = {"light": light.weight}
        if taught := light.object in examples.classes and light.focus > 0:
            weights["focus"] = light.focus
        where = examples.classes.index(light.object) if taught else None
        heads.append(_Head("light", LightObjective(weights_of_states, weights, where), facts))
    for head in heads:
        if not head.facts["frames"]:
            raise UsageError(
                f"There is nothing for the head '{head.name}' to learn: none of the {len(examples.images)} labeled frames has its labels. "
                "Wire labels that have them, or leave the head out."
            )
    return heads
