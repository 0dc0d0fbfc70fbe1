"""Frame-by-frame evaluation (level 1) of all heads of a model, or of the trivial baseline, each head on the frames labeled for it.

The baseline never sees an image: it predicts each class's mean box over the labels of other frames, scored by the share of those frames that contain
the class. A detector that is not clearly better has learned nothing more.

`frame_measure` returns the headline KPIs for arbitrarily weighted units (drives or blocks of time), which confidence intervals need. Matching does
not depend on the weights and is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import Detections, Frame
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.intervals import Measure, Units, Weights
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.obstacle_kpis import Kpis, kpis, match
from tracecore_evaluation.path_and_light_kpis import LightKpis, PathKpis, light_kpis, path_errors, path_kpis
from tracecore_evaluation.predictions import Predictions
from tracecore_evaluation.slices import Slicing

__all__ = [
    "BASELINE",
    "FrameEvaluation",
    "Limits",
    "baseline_predictions",
    "evaluate",
    "frame_measure",
    "mean_path_predictions",
]

BASELINE = (
    "What is said without looking. On every frame each class's mean box over the {frames} labeled frames that are not evaluated, scored by the share "
    "of those frames that hold the class; a path straight ahead; the state of the light most frequent on those frames."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of precision, recall and mistakes.

    Attributes:
        score: least score of a detection.
        iou: least overlap of a hit.
        path_within: greatest lateral error that counts as within, m.
        off_path: mean lateral error of a frame above which its path is a mistake, m.
    """

    score: float
    iou: float
    path_within: float
    off_path: float


@dataclass(frozen=True, slots=True)
class FrameEvaluation:
    """KPIs by head; empty for a head that the model doesn't have."""

    obstacles: Kpis
    path: PathKpis
    light: LightKpis

    @property
    def values(self) -> dict[str, float | None]:
        """KPIs of all heads (boxes, path, light) by name; None for a KPI that is undefined."""
        return {**self.obstacles.values, **self.path.values, **self.light.values}

    @property
    def slices(self) -> dict[str, int | None]:
        """Number of frames by slice name; None for a slice of objects (by size or distance)."""
        return {**self.light.slices, **self.path.slices, **self.obstacles.slices}


def evaluate(frames: Sequence[Frame], labels: Labels, answers: Predictions, config: ModelConfig, limits: Limits, slicing: Slicing) -> FrameEvaluation:
    """Return the KPIs of each head of a model (boxes, path, light) on the frames that have both labels and a prediction for that head."""
    boxes = [frame for frame in frames if frame.id in labels.truth and frame.id in answers.seen]
    paths = [frame for frame in frames if frame.id in labels.paths and frame.id in answers.paths]
    lights = [frame for frame in frames if frame.id in labels.lights and frame.id in answers.lights]
    predicted = {frame.id: int(np.argmax(answers.lights[frame.id])) for frame in lights}
    return FrameEvaluation(
        kpis(boxes, labels.truth, answers.seen, config.classes, limits.score, limits.iou, slicing) if config.classes else Kpis(),
        path_kpis(paths, labels.paths, answers.paths, config.ahead, limits.path_within) if config.ahead else PathKpis(),
        light_kpis(lights, labels.lights, predicted, config.states) if config.states else LightKpis(),
    )


def baseline_predictions(frames: Sequence[Frame], labels: Labels, config: ModelConfig) -> Predictions:
    """Return a trivial baseline: mean boxes and most frequent light state of the labeled frames that are not evaluated, and a straight path."""
    light = None if labels.usual_state is None else np.eye(len(config.states))[labels.usual_state]
    mean = labels.mean_boxes
    return Predictions(
        {frame.id: Detections(mean.boxes * np.array([frame.width, frame.height] * 2), mean.scores, mean.classes) for frame in frames},
        {frame.id: np.zeros(len(config.ahead)) for frame in frames},
        {} if light is None else {frame.id: light for frame in frames},
    )


def mean_path_predictions(frames: Sequence[Frame], labels: Labels) -> Predictions:
    """Return, as prediction for every frame, the mean path of the labeled frames that are not evaluated; no predictions if these have no path."""
    return Predictions() if labels.mean_path is None else Predictions(paths={frame.id: labels.mean_path for frame in frames})


_RECALLS = np.linspace(0, 1, 101)
_BEST = 100  # detections per class and frame that count for AP, as in COCO
_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class _Class:
    """The n detections of one class, by descending score: hit or not [n], unit index [n]; and the number of true objects by unit [units]."""

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    units: NDArray[np.int64]
    objects: NDArray[np.int64]

    def ap50(self, weights: Weights) -> float | None:
        """Return average precision over 101 recall levels, as in COCO, with each unit (drive or time block) weighted; None without objects."""
        objects = int(weights @ self.objects)
        if not objects:
            return None
        counted = weights[self.units]
        true, all_ = np.cumsum(counted * self.hits), np.cumsum(counted)
        precision = np.divide(true, all_, out=np.zeros(len(all_)), where=all_ > 0)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(true / objects, _RECALLS, side="left")
        return float(np.append(envelope, 0.0)[places].mean())

    def precision_recall(self, weights: Weights, score: float) -> tuple[float | None, float | None]:
        """Return precision and recall of detections of at least `score`, with each unit (drive or time block) weighted; None if undefined."""
        counted = weights[self.units] * (self.scores >= score)
        hits, given, objects = int(counted @ self.hits), int(counted.sum()), int(weights @ self.objects)
        return (hits / given if given else None), (hits / objects if objects else None)


def frame_measure(frames: Sequence[Frame], labels: Labels, answers: Predictions, config: ModelConfig, limits: Limits, units: Units) -> Measure:
    """Return a function from unit weights (drives, blocks) to headline KPIs, `path_within`, and AP50, precision and recall by class."""
    boxes = [frame for frame in frames if frame.id in labels.truth]
    by_iou = {
        iou: {name: _class(boxes, labels, answers, units, class_, iou) for class_, name in enumerate(config.classes)}
        for iou in {limits.iou, _OVERLAP}
    }
    classes, for_ap = by_iou[limits.iou], by_iou[_OVERLAP]
    unit_of = {frame.id: units.number(frame) for frame in frames}
    paths = sorted(labels.paths.keys() & answers.paths.keys() & unit_of.keys())
    errors = [np.abs(answers.paths[id_] - labels.paths[id_]) for id_ in paths]
    right = {id_: int(np.argmax(answers.lights[id_])) == state for id_, state in sorted(labels.lights.items()) if id_ in answers.lights}

    def measure(weights: Weights) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, of_class in classes.items():
            found[f"ap50.{name}"] = for_ap[name].ap50(weights)
            found[f"precision.{name}"], found[f"recall.{name}"] = of_class.precision_recall(weights, limits.score)
        known = [value for name in classes if (value := found[f"ap50.{name}"]) is not None]
        if classes:
            found["map50"] = float(np.mean(known)) if known else None
        if paths:
            times = weights[[unit_of[id_] for id_ in paths]]
            # A jackknife interval of a percentile does not reach its nominal coverage, so `path_error.p95` is left out.
            of_paths = path_errors(np.repeat(np.stack(errors), times, axis=0).ravel(), limits.path_within)
            found.update((name, of_paths[name]) for name in ("path_error.mean", "path_within"))
        if right:
            times = weights[[unit_of[id_] for id_ in right]]
            found["light.accuracy"] = float(times @ np.array(list(right.values())) / times.sum()) if times.sum() else None
        return found

    return measure


def _class(frames: Sequence[Frame], labels: Labels, answers: Predictions, units: Units, class_: int, iou: float) -> _Class:
    """Return the detections of class index `class_`, at most 100 per frame, by score, as hits (overlap of at least `iou`) or false positives."""
    scores: list[NDArray[np.float64]] = []
    hits: list[NDArray[np.bool_]] = []
    numbers: list[NDArray[np.int64]] = []
    objects = np.zeros(units.count, dtype=np.int64)
    for frame in frames:
        truth, seen = labels.truth[frame.id], answers.seen[frame.id]
        seen = seen.where(seen.classes == class_).where(slice(_BEST))
        hit = match(seen, truth, iou).hit
        counted = hit != -2  # detections on a crowd are neither right nor wrong
        scores.append(seen.scores[counted])
        hits.append(hit[counted] >= 0)
        numbers.append(np.full(int(counted.sum()), units.number(frame), dtype=np.int64))
        objects[units.number(frame)] += int(((truth.classes == class_) & ~truth.crowd).sum())
    if not frames:
        return _Class(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64), objects)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _Class(np.concatenate(scores)[order], np.concatenate(hits)[order], np.concatenate(numbers)[order], objects)
