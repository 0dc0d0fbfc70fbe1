"""A made scene of cars, ghosts and a detector, known at any time: the same world looked at by cameras of other rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracecore_evaluation.detections import Detections, Frame, GroundTruth
from tracecore_evaluation.driving_time import driven
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.intervals import units_of
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.online_metrics import Driving, Rules, drive, rates
from tracecore_evaluation.predictions import Predictions
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.tracker import TrackerSettings
from tracecore_evaluation.tracking_metrics import Relevance

__all__ = ["CLASSES", "MadeScene", "judged", "made_scene", "rates_of"]

CLASSES = ("car", "person")
RATE = 10
MadeScene = tuple[list[Frame], dict[str, GroundTruth], dict[str, Detections]]


def made_scene(seed: int, seconds: int, *, objects_per_minute: int = 24, crowds: bool = False, drive: str = "d") -> MadeScene:
    """Draw a drive at ten frames a second.

    Objects move smoothly for 2 to 20 s and are seen for 6 s and then not for 2 s, on the mean; every second box is a bit off. For every two objects
    there is a ghost that is seen for 1 to 6 s, and now and then a flash of one frame.
    """
    rng = np.random.default_rng(seed)
    count = seconds * RATE
    frames = [Frame(f"frame/{drive}/s/{at}", drive, "s", at * 10**9 // RATE, 1600, 900) for at in range(count)]
    true: list[list[tuple[Any, ...]]] = [[] for _ in frames]
    found: list[list[tuple[Any, ...]]] = [[] for _ in frames]
    objects = seconds * objects_per_minute // 60
    for number in range(objects):
        begin, life, class_ = rng.uniform(0, seconds), rng.uniform(2, 20), number % 2
        (x, y), size, speed, phase = rng.uniform(100, 700, 2), rng.uniform(30, 80), rng.normal(0, 20, 2), rng.uniform(0, 6, 2)
        is_seen, until = rng.random() < 0.75, begin
        crowd = crowds and number % 5 == 0
        for at in range(int(np.ceil(begin * RATE)), min(count, int((begin + life) * RATE))):
            while until <= at / RATE:
                is_seen, until = not is_seen, until + rng.exponential(2 if is_seen else 6)
            since = at / RATE - begin
            box = np.array([x + speed[0] * since + 10 * np.sin(since + phase[0]), y + 5 * np.sin(since + phase[1]), size, 0.8 * size])
            true[at].append((box, class_, crowd, f"{number}"))
            if is_seen:
                found[at].append((box + rng.normal(0, 0.03 * size, 4), class_, rng.uniform(0.3, 1.0)))
    for number in range(objects // 2):
        begin, life, place = rng.uniform(0, seconds), rng.uniform(1, 6), rng.uniform(900, 1500, 2)
        for at in range(int(np.ceil(begin * RATE)), min(count, int((begin + life) * RATE))):
            found[at].append((np.array([*(place + rng.normal(0, 1, 2)), 40, 40]), number % 2, rng.uniform(0.1, 0.6)))
    for at in np.flatnonzero(rng.random(count) < 0.02).tolist():
        found[at].append((np.array([*rng.uniform(1600, 3000, 2), 40, 40]), 0, 0.5))
    return (
        frames,
        {f.id: _truth(f.id, rows) for f, rows in zip(frames, true, strict=True)},
        {f.id: _seen(r) for f, r in zip(frames, found, strict=True)},
    )


def _truth(frame: str, rows: list[tuple[Any, ...]]) -> GroundTruth:
    boxes = np.array([box for box, *_ in rows], dtype=np.float64).reshape(-1, 4)
    names = tuple(name for *_, name in rows)
    classes, crowd = np.array([row[1] for row in rows], dtype=np.int64), np.array([row[2] for row in rows], dtype=bool)
    return GroundTruth(boxes, classes, boxes[:, 2] * boxes[:, 3], crowd, tuple(f"{frame}-{name}" for name in names), (), names)


def _seen(rows: list[tuple[Any, ...]]) -> Detections:
    rows = sorted(rows, key=lambda row: -row[2])
    boxes = np.array([box for box, *_ in rows], dtype=np.float64).reshape(-1, 4)
    return Detections(boxes, np.array([row[2] for row in rows], dtype=np.float64), np.array([row[1] for row in rows], dtype=np.int64))


SETTINGS = TrackerSettings(iou=0.2, motion=1.0, confirm=0.4, coast=2.2)
RULES = Rules(iou=0.5, episode=1.4, off_path=1.0, relevance=Relevance(40.0, 25.0), tracker=SETTINGS)
CONFIG = ModelConfig(0, 0, CLASSES, (), ())


def labels_of(truth: dict[str, GroundTruth]) -> Labels:
    """Return the truth as labels."""
    return Labels(truth)


def judged(frames: list[Frame], truth: dict[str, GroundTruth], seen: dict[str, Detections]) -> Driving:
    """Drive through frames by the stage's own parameters."""
    return drive(frames, labels_of(truth), Predictions(seen), CONFIG, RULES, Slicing())


def rates_of(frames: list[Frame], driving: Driving) -> dict[str, float | None]:
    """Return the KPIs of level 2."""
    return rates(driving, driven(frames, {}), {}, CONFIG, units_of(frames))
