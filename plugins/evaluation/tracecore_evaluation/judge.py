"""Judging all heads of a model, or of a baseline, over the frames that are labeled for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracecore_evaluation.baseline import mean_boxes
from tracecore_evaluation.detector import Answers
from tracecore_evaluation.kpis import Kpis, Thresholds, kpis
from tracecore_evaluation.light_kpis import LightKpis, light_kpis
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_kpis import PathKpis, path_kpis
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.truth import Labels

__all__ = ["Judged", "Limits", "headline", "judge", "mean_path_answers", "trivial_answers"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts: boxes by `thresholds`; an error of the path of at most `path_within` m is within, a mean error above `off_path` m a mistake."""

    thresholds: Thresholds
    path_within: float
    off_path: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What judging found, by head; empty for a head that the model has not."""

    obstacles: Kpis
    path: PathKpis
    light: LightKpis

    @property
    def values(self) -> dict[str, float | None]:
        """All KPIs by name."""
        return {**self.obstacles.values, **self.path.values, **self.light.values}

    @property
    def slices(self) -> dict[str, int | None]:
        """Frames by slice; None for slices of objects."""
        return {**self.light.slices, **self.path.slices, **self.obstacles.slices}


def judge(frames: Sequence[Frame], labels: Labels, answers: Answers, config: ModelConfig, limits: Limits, slicing: Slicing) -> Judged:
    """Judge answers, each head on the frames that are labeled for it."""
    boxes = [frame for frame in frames if frame.id in labels.truth and frame.id in answers.seen]
    paths = [frame for frame in frames if frame.id in labels.paths and frame.id in answers.paths]
    lights = [frame for frame in frames if frame.id in labels.lights and frame.id in answers.lights]
    said = {frame.id: int(np.argmax(answers.lights[frame.id])) for frame in lights}
    return Judged(
        kpis(boxes, labels.truth, answers.seen, config.classes, limits.thresholds, slicing) if config.classes else Kpis(),
        path_kpis(paths, labels.paths, answers.paths, config.ahead, limits.path_within) if config.ahead else PathKpis(),
        light_kpis(lights, labels.lights, said, config.states) if config.states else LightKpis(),
    )


def trivial_answers(frames: Sequence[Frame], labels: Labels, config: ModelConfig) -> Answers:
    """Give what is said without looking: mean boxes, straight ahead, and the state most frequent on the labeled frames that are not evaluated."""
    light = None if labels.usual_state is None else np.eye(len(config.states))[labels.usual_state]
    return Answers(
        mean_boxes(frames, labels.elsewhere),
        {frame.id: np.zeros(len(config.ahead)) for frame in frames},
        {} if light is None else {frame.id: light for frame in frames},
    )


def mean_path_answers(frames: Sequence[Frame], labels: Labels) -> Answers:
    """Give the mean path of the labeled frames that are not evaluated, on every frame; nothing where there are none."""
    return Answers() if labels.mean_path is None else Answers(paths={frame.id: labels.mean_path for frame in frames})


def headline(config: ModelConfig) -> list[str]:
    """Give the one KPI of each head that stands for it."""
    heads = (("map50", config.classes), ("path_error.mean", config.ahead), ("light.accuracy", config.states))
    return [name for name, has in heads if has]
