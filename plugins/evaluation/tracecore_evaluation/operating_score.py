"""The operating score of level 2: the least score at which detections are tracked, chosen per class on selection frames.

For each class it is the candidate (0.05, 0.10, ... 0.95) with the greatest MOTA, that is the fewest misses, false boxes and switches; on a tie the
highest. Tracking never mixes classes, so each is chosen independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import Detections, Frame
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.online_metrics import Rules, tracking_kpis, true_stretches
from tracecore_evaluation.predictions import Predictions
from tracecore_evaluation.tracker import TrackerSettings
from tracecore_evaluation.tracking_metrics import COUNTS, followed, moments_of, of_class

__all__ = ["CRITERION", "OperatingScores", "above", "choose_scores"]

CRITERION = "greatest MOTA of the class on the selection frames, of equal ones the highest score"

_CANDIDATES = tuple(step / 20 for step in range(1, 20))
_WRONG = [COUNTS.index(name) for name in ("misses", "false_boxes", "switches")]


@dataclass(frozen=True, slots=True)
class OperatingScores:
    """The least score of a tracked detection, by class, and how it was chosen.

    Attributes:
        frames: number of selection frames; 0 if the scores are the parameter's.
        mota: MOTA on the selection frames at these scores; None if they have no object that must be seen.
        unchosen: classes without such an object on the selection frames; they use the parameter's score.
    """

    by_class: Mapping[str, float]
    frames: int = 0
    mota: float | None = None
    unchosen: tuple[str, ...] = ()


def above(answers: Predictions, scores: Mapping[str, float], config: ModelConfig) -> Predictions:
    """Return the predictions without boxes that score below the threshold of their class."""
    return Predictions(_above(answers.seen, np.array([scores[name] for name in config.classes])), answers.paths, answers.lights)


def _above(seen: Mapping[str, Detections], least: NDArray[np.float64]) -> dict[str, Detections]:
    return {id_: each.of(each.scores >= least[each.classes]) for id_, each in seen.items()}


def choose_scores(
    frames: Sequence[Frame], labels: Labels, answers: Predictions, config: ModelConfig, settings: TrackerSettings, rules: Rules, otherwise: float
) -> OperatingScores:
    """Choose the operating score of each class on selection frames; `otherwise` is that of a class without an object that must be seen on them."""
    stretches = true_stretches(frames, labels, settings, rules.relevance)
    counts = np.zeros((len(config.classes), len(_CANDIDATES), len(COUNTS)), dtype=np.int64)
    for number, score in enumerate(_CANDIDATES):
        seen = _above(answers.seen, np.full(len(config.classes), score))
        for stretch in stretches:
            moments = moments_of(stretch, seen, settings)
            for class_ in range(len(config.classes)):
                counts[class_, number] += followed([of_class(moment, class_) for moment in moments], rules.iou).by_moment.sum(axis=0)
    best: dict[str, float] = {}
    total = np.zeros(len(COUNTS), dtype=np.int64)
    unchosen = []
    for class_, name in enumerate(config.classes):
        wrong = counts[class_][:, _WRONG].sum(axis=1)
        chosen = max(range(len(_CANDIDATES)), key=lambda place: (-wrong[place], place))
        is_there = bool(counts[class_, chosen, COUNTS.index("objects")])
        best[name] = _CANDIDATES[chosen] if is_there else otherwise
        unchosen += [] if is_there else [name]
        total += counts[class_, chosen] if is_there else 0
    return OperatingScores(best, len(frames), tracking_kpis(total)["mota"], tuple(unchosen))
