"""Confidence intervals by drive, and the KPIs of weighted drives that they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from tracecore_evaluation.detections import Detections, Frame, GroundTruth
from tracecore_evaluation.evaluate import Limits, evaluate, frame_measure
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.intervals import Units
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.obstacle_kpis import average_precision
from tracecore_evaluation.predictions import Predictions
from tracecore_evaluation.slices import Slicing

CONFIG = ModelConfig(32, 48, ("car", "person"), (5.0, 10.0), ("none", "red"))
LIMITS = Limits(0.4, 0.5, 0.5, 1.0)


def a_world(drives: int = 4) -> tuple[list[Frame], Labels, Predictions]:
    """Draw frames of a few drives with objects, detections near them, paths and lights."""
    rng = np.random.default_rng(5)
    frames = [Frame(f"frame/{drive}/s/{n}", f"{drive}", "s", n, 640, 480) for drive in range(drives) for n in range(5)]
    truth, answers, paths, lights = {}, Predictions(), {}, {}
    for frame in frames:
        boxes = np.c_[rng.uniform(0, 300, (4, 2)), rng.uniform(20, 150, (4, 2))]
        classes = rng.integers(2, size=4)
        ids = tuple(str(row) for row in range(4))
        truth[frame.id] = GroundTruth(boxes, classes, boxes[:, 2] * boxes[:, 3], np.zeros(4, dtype=bool), ids)
        scores = np.sort(rng.random(4))[::-1]
        answers.seen[frame.id] = Detections(boxes + rng.normal(0, 8, boxes.shape), scores, rng.integers(2, size=4))
        paths[frame.id], answers.paths[frame.id] = rng.normal(size=2), rng.normal(size=2)
        lights[frame.id], answers.lights[frame.id] = int(rng.integers(2)), rng.random(2)
    return frames, Labels(truth, paths, lights), answers


def test_weighted_drives_give_the_same_as_frames_repeated() -> None:
    """The quick way of the bootstrap against the library and the plain KPIs, on frames that really are there twice."""
    frames, labels, answers = a_world()
    units = Units("drive", {(frame.drive, frame.timestamp_ns): int(frame.drive) for frame in frames}, 4)
    measure = frame_measure(frames, labels, answers, CONFIG, LIMITS, units)
    for weights in ([1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 1, 0]):
        repeated, truth, seen = [], {}, {}
        copies = Labels({})
        copied = Predictions()
        for frame in frames:
            for copy in range(weights[int(frame.drive)]):
                twin = Frame(f"{frame.id}-{copy}", frame.drive, "s", frame.timestamp_ns, 640, 480)
                repeated.append(twin)
                truth[twin.id], seen[twin.id] = labels.truth[frame.id], answers.seen[frame.id]
                copies.paths[twin.id], copied.paths[twin.id] = labels.paths[frame.id], answers.paths[frame.id]
                copies.lights[twin.id], copied.lights[twin.id] = labels.lights[frame.id], answers.lights[frame.id]
        copies.truth.update(truth)
        copied.seen.update(seen)
        expected = evaluate(repeated, copies, copied, CONFIG, LIMITS, Slicing()).values
        library = average_precision(repeated, truth, seen, 2).ap50["all"]
        found = measure(np.array(weights))
        assert [found["ap50.car"], found["ap50.person"]] == pytest.approx(list(library))
        for name in ("map50", "precision.car", "recall.person", "path_error.mean", "path_within", "light.accuracy"):
            assert found[name] == pytest.approx(expected[name]), name
