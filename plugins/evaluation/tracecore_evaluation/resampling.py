"""The headline KPIs of level 1 for units (drives, blocks of time) counted as often as wanted: what their confidence intervals are made from.

Matching is by frame and does not change with how often a unit counts, so it is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detector import Answers
from tracecore_evaluation.intervals import Measure, Units, Weights
from tracecore_evaluation.judge import Judged
from tracecore_evaluation.kpis import Thresholds
from tracecore_evaluation.matching import match
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_kpis import path_errors
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.truth import Labels

__all__ = ["level_1"]

_RECALLS = np.linspace(0, 1, 101)
_BEST = 100  # detections of a class and frame that count for AP, as COCO has it
_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class _Class:
    """The detections of one class over all frames, best first: score, whether it hits, and its unit; and the objects of each unit."""

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    units: NDArray[np.int64]
    objects: NDArray[np.int64]

    def ap50(self, weights: Weights) -> float | None:
        """Average precision over 101 recalls (COCO's), each unit counted as often as its weight."""
        objects = int(weights @ self.objects)
        if not objects:
            return None
        counted = weights[self.units]
        true, all_ = np.cumsum(counted * self.hits), np.cumsum(counted)
        precision = np.divide(true, all_, out=np.zeros(len(all_)), where=all_ > 0)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(true / objects, _RECALLS, side="left")
        return float(np.append(envelope, 0.0)[places].mean())

    def shares(self, weights: Weights, score: float) -> tuple[float | None, float | None]:
        """Precision and recall at a score."""
        counted = weights[self.units] * (self.scores >= score)
        hits, given, objects = int(counted @ self.hits), int(counted.sum()), int(weights @ self.objects)
        return (hits / given if given else None), (hits / objects if objects else None)


def level_1(
    frames: Sequence[Frame],
    labels: Labels,
    answers: Answers,
    judged: Judged,
    config: ModelConfig,
    thresholds: Thresholds,
    within: float,
    units: Units,
) -> Measure:
    """Return the measure: from weights of units to the headline KPIs.

    Args:
        frames: the evaluated frames.
        labels: what is true.
        answers: what the model says.
        judged: what judging it found.
        config: its heads.
        thresholds: of precision and recall.
        within: limit of `path_within`, m.
        units: of the frames.
    """
    boxes = [frame for frame in frames if frame.id in labels.truth]
    classes = {name: _class(boxes, labels, answers, units, class_, thresholds) for class_, name in enumerate(config.classes)}
    at_overlap = classes if thresholds.iou == _OVERLAP else None
    fifty = Thresholds(thresholds.score, _OVERLAP)
    for_ap = at_overlap or {name: _class(boxes, labels, answers, units, class_, fifty) for class_, name in enumerate(config.classes)}
    unit_of = {frame.id: units.number(frame) for frame in frames}
    paths = sorted(judged.path.errors)
    errors = [judged.path.errors[id_] for id_ in paths]
    right = {id_: int(np.argmax(answers.lights[id_])) == state for id_, state in sorted(labels.lights.items()) if id_ in answers.lights}

    def measure(weights: Weights) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, of_class in classes.items():
            found[f"ap50.{name}"] = for_ap[name].ap50(weights)
            found[f"precision.{name}"], found[f"recall.{name}"] = of_class.shares(weights, thresholds.score)
        known = [value for name in classes if (value := found[f"ap50.{name}"]) is not None]
        if classes:
            found["map50"] = float(np.mean(known)) if known else None
        if paths:
            times = weights[[unit_of[id_] for id_ in paths]]
            # A jackknife does not reach its level for a percentile, so there is none of `path_error.p95`.
            of_paths = path_errors(np.repeat(np.stack(errors), times, axis=0).ravel(), within)
            found.update((name, of_paths[name]) for name in ("path_error.mean", "path_within"))
        if right:
            times = weights[[unit_of[id_] for id_ in right]]
            found["light.accuracy"] = float(times @ np.array(list(right.values())) / times.sum()) if times.sum() else None
        return found

    return measure


def _class(frames: Sequence[Frame], labels: Labels, answers: Answers, units: Units, class_: int, thresholds: Thresholds) -> _Class:
    scores: list[NDArray[np.float64]] = []
    hits: list[NDArray[np.bool_]] = []
    numbers: list[NDArray[np.int64]] = []
    objects = np.zeros(units.count, dtype=np.int64)
    for frame in frames:
        truth, seen = labels.truth[frame.id], answers.seen[frame.id]
        seen = seen.of(seen.classes == class_).first(_BEST)
        hit = match(seen, truth, thresholds.iou).hit
        counted = hit != -2  # what lies on a crowd is neither right nor wrong
        scores.append(seen.scores[counted])
        hits.append(hit[counted] >= 0)
        numbers.append(np.full(int(counted.sum()), units.number(frame), dtype=np.int64))
        objects[units.number(frame)] += int(((truth.classes == class_) & ~truth.crowd).sum())
    if not frames:
        return _Class(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64), objects)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _Class(np.concatenate(scores)[order], np.concatenate(hits)[order], np.concatenate(numbers)[order], objects)
