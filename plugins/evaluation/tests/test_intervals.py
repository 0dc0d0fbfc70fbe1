"""Confidence intervals by drive, and the KPIs of weighted drives that they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from tracecore_evaluation.average_precision import average_precision
from tracecore_evaluation.detector import Answers
from tracecore_evaluation.intervals import bootstrap
from tracecore_evaluation.judge import Limits, judge
from tracecore_evaluation.kpis import Thresholds
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.resampling import level_1
from tracecore_evaluation.scene import Frame, Seen, Truth
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.truth import Labels

CONFIG = ModelConfig(32, 48, ("car", "person"), (5.0, 10.0), ("none", "red"))
LIMITS = Limits(Thresholds(0.4, 0.5), 0.5, 1.0)


def a_world(drives: int = 4) -> tuple[list[Frame], Labels, Answers]:
    """Draw frames of a few drives with objects, detections near them, paths and lights."""
    rng = np.random.default_rng(5)
    frames = [Frame(f"frame/{drive}/s/{n}", f"{drive}", "s", n, 640, 480) for drive in range(drives) for n in range(5)]
    truth, answers, paths, lights = {}, Answers(), {}, {}
    for frame in frames:
        boxes = np.c_[rng.uniform(0, 300, (4, 2)), rng.uniform(20, 150, (4, 2))]
        classes = rng.integers(2, size=4)
        ids = tuple(str(row) for row in range(4))
        truth[frame.id] = Truth(boxes, classes, boxes[:, 2] * boxes[:, 3], np.zeros(4, dtype=bool), ids)
        scores = np.sort(rng.random(4))[::-1]
        answers.seen[frame.id] = Seen(boxes + rng.normal(0, 8, boxes.shape), scores, rng.integers(2, size=4))
        paths[frame.id], answers.paths[frame.id] = rng.normal(size=2), rng.normal(size=2)
        lights[frame.id], answers.lights[frame.id] = int(rng.integers(2)), rng.random(2)
    return frames, Labels(truth, paths, lights, {}, {}, (None, None), None, None, 0), answers


def test_the_interval_spans_what_drawing_whole_drives_gives() -> None:
    """Drives of 0, 1 and 2: the mean of three draws lies between 0 and 2, and 95 % of all draws between their percentiles."""
    values = np.array([0.0, 1.0, 2.0])
    found = bootstrap(["a", "b", "c"], lambda weights: {"x": float(weights @ values / weights.sum()), "never": None}, seed=1, draws=4000)
    assert set(found) == {"x"}
    # Of the 27 equally likely draws one has mean 0 and one 2: 3.7 % each, so both percentiles lie at the ends.
    assert found["x"] == (0.0, 2.0)


def test_the_same_seed_draws_the_same_and_fewer_than_three_drives_give_no_interval() -> None:
    values = np.linspace(0, 1, 8)

    def measure(weights):
        return {"x": float(weights @ values / weights.sum())}

    first, again, other = (bootstrap([*"abcdefgh"], measure, seed=seed, draws=200) for seed in (3, 3, 4))
    assert first == again != other
    low, high = first["x"]
    assert 0 < low < values.mean() < high < 1
    assert bootstrap(["a", "b"], measure, seed=3, draws=200) == {}


def test_weighted_drives_give_the_same_as_frames_repeated() -> None:
    """The quick way of the bootstrap against the library and the plain KPIs, on frames that really stand there twice."""
    frames, labels, answers = a_world()
    measure = level_1(frames, labels, answers, judge(frames, labels, answers, CONFIG, LIMITS, Slicing()), CONFIG, LIMITS.thresholds, 0.5)
    for weights in ([1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 1, 0]):
        repeated, truth, seen = [], {}, {}
        copies = Labels({}, {}, {}, {}, {}, (None, None), None, None, 0)
        copied = Answers()
        for frame in frames:
            for copy in range(weights[int(frame.drive)]):
                twin = Frame(f"{frame.id}-{copy}", frame.drive, "s", frame.timestamp_ns, 640, 480)
                repeated.append(twin)
                truth[twin.id], seen[twin.id] = labels.truth[frame.id], answers.seen[frame.id]
                copies.paths[twin.id], copied.paths[twin.id] = labels.paths[frame.id], answers.paths[frame.id]
                copies.lights[twin.id], copied.lights[twin.id] = labels.lights[frame.id], answers.lights[frame.id]
        copies.truth.update(truth)
        copied.seen.update(seen)
        expected = judge(repeated, copies, copied, CONFIG, LIMITS, Slicing()).values
        library = average_precision(repeated, truth, seen, 2).ap50["all"]
        found = measure(np.array(weights))
        assert [found["ap50.car"], found["ap50.person"]] == pytest.approx(list(library))
        for name in ("map50", "precision.car", "recall.person", "path_error.mean", "path_error.p95", "path_within", "light.accuracy"):
            assert found[name] == pytest.approx(expected[name]), name
