"""Judging a perception while driving: tracks instead of boxes, episodes instead of frames, hours instead of counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detector import Answers
from tracecore_evaluation.driving import Time, seconds_between, stretches, tracks_of
from tracecore_evaluation.episodes import Episode, false_tracks, lost_tracks, wrong_paths, wrong_states
from tracecore_evaluation.intervals import Measure, Weights
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.scene import Frame, Seen, Truth
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.tracker import Tracker, TrackerSettings
from tracecore_evaluation.tracking import Moment, Scores, followed
from tracecore_evaluation.truth import Labels

__all__ = ["KINDS", "Driving", "Relevance", "Rules", "drive", "level_2", "rates"]

KINDS = ("lost_track", "false_track", "wrong_state", "off_path")
"""What a mistake of the perception while driving can be."""


@dataclass(frozen=True, slots=True)
class Relevance:
    """Which objects have to be seen: those within `distance` m, and where nobody said how far one is, those at least `height` px high."""

    distance: float
    height: float

    def of(self, truth: Truth) -> NDArray[np.bool_]:
        """Say of each true box whether it counts; crowds never do."""
        known = [truth.distance(row) for row in range(len(truth.ids))]
        near = [high >= self.height if far is None else far <= self.distance for far, high in zip(known, truth.boxes[:, 3].tolist(), strict=True)]
        return np.array(near, dtype=bool) & ~truth.crowd


@dataclass(frozen=True, slots=True)
class Driving:
    """What was found over all drives.

    Attributes:
        episodes: the mistakes, in order of drive and time.
        scores: of tracking, by drive, summed over its cameras and stretches.
        untracked: drives whose labels say nothing of tracks, so that their boxes were tracked here.
    """

    episodes: tuple[Episode, ...]
    scores: Mapping[str, Scores]
    untracked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is wrong, and when it is a mistake.

    Attributes:
        iou: least overlap at which a track follows an object.
        episode: frames in a row that something must be wrong for.
        off_path: mean lateral error of a path above which it is wrong, m.
        relevance: which objects have to be seen.
    """

    iou: float
    episode: int
    off_path: float
    relevance: Relevance


def drive(
    frames: Sequence[Frame], labels: Labels, answers: Answers, config: ModelConfig, settings: TrackerSettings, rules: Rules, slicing: Slicing
) -> Driving:
    """Drive through the frames with a perception, and list what it got wrong.

    Args:
        frames: evaluated frames.
        labels: what is true of them.
        answers: what the perception says.
        config: what it speaks of.
        settings: of the tracker.
        rules: what a mistake is.
        slicing: names the conditions of mistakes.
    """
    episodes: list[Episode] = []
    scores: dict[str, Scores] = {}
    said = {id_: int(np.argmax(probabilities)) for id_, probabilities in answers.lights.items()}
    untracked = _untracked(frames, labels.truth)
    for stretch in stretches(frames):
        boxed = [frame for frame in stretch if frame.id in labels.truth]
        if config.classes and boxed:
            moments = list(_moments(boxed, labels, answers, settings, rules.relevance, tracked_here=stretch[0].drive in untracked))
            found = followed(moments, rules.iou)
            _add(scores.setdefault(stretch[0].drive, Scores()), found)
            episodes += lost_tracks(boxed, moments, found, config, rules.episode, slicing)
            episodes += false_tracks(boxed, moments, found, config, slicing)
        episodes += wrong_states(stretch, labels, said, config, rules.episode, slicing)
        episodes += wrong_paths(stretch, labels, answers.paths, rules.off_path, rules.episode, slicing)
    ordered = sorted(
        episodes, key=lambda each: (each.first.drive, each.first.timestamp_ns, each.first.sensor, each.type, each.row.get("track") or "")
    )
    return Driving(tuple(ordered), scores, tuple(sorted(untracked)) if config.classes else ())


def _untracked(frames: Sequence[Frame], truth: Mapping[str, Truth]) -> set[str]:
    """Give the drives with boxes of which none says its track."""
    named: dict[str, bool] = {}
    for frame in frames:
        of_frame = truth.get(frame.id)
        if of_frame is not None and len(of_frame.ids):
            named[frame.drive] = named.get(frame.drive, False) or any(of_frame.track(row) is not None for row in range(len(of_frame.ids)))
    return {drive for drive, is_named in named.items() if not is_named}


def _names(truth: Truth) -> tuple[str | None, ...]:
    """Name the tracks of boxes; one that says none is a track of its own, on its frame alone."""
    return tuple(truth.track(row) or truth.ids[row] for row in range(len(truth.ids)))


def _moments(
    stretch: Sequence[Frame], labels: Labels, answers: Answers, settings: TrackerSettings, relevance: Relevance, *, tracked_here: bool
) -> Iterator[Moment]:
    names = tracks_of(stretch, labels.truth, settings) if tracked_here else {frame.id: _names(labels.truth[frame.id]) for frame in stretch}
    tracker = Tracker(settings)
    nothing = Seen(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))
    before = stretch[0]
    for frame in stretch:
        truth = labels.truth[frame.id]
        tracked = tracker.step(answers.seen.get(frame.id, nothing), seconds_between(before, frame))
        yield Moment(truth, names[frame.id], relevance.of(truth), tracked)
        before = frame


def _add(total: Scores, found: Scores) -> None:
    for name in ("objects", "boxes", "misses", "false_boxes", "switches", "identical"):
        setattr(total, name, getattr(total, name) + getattr(found, name))


def rates(driving: Driving, time: Time, slices: Mapping[str, Sequence[Frame]], config: ModelConfig) -> dict[str, float | None]:
    """Give the KPIs: mistakes per hour in all, by sort, by class and by slice, MOTA and IDF1."""
    drives = sorted({*driving.scores, *time.drives})
    measure = level_2(driving, time, slices, config, drives)
    return dict(measure(np.ones(len(drives), dtype=np.int64)))


def level_2(driving: Driving, time: Time, slices: Mapping[str, Sequence[Frame]], config: ModelConfig, drives: Sequence[str]) -> Measure:
    """Give the measure of level 2: from weights of drives to its KPIs.

    Args:
        driving: what was found.
        time: how long was driven.
        slices: frames by slice; a mistake belongs to the slices of the frame it begins on.
        config: what the perception speaks of.
        drives: names, in the order of the weights.
    """
    names = [kind for kind in KINDS if _judged(kind, config)] + list(config.classes)
    in_slice = {name: {frame.id for frame in members} for name, members in slices.items()}
    clocked = [each for each in driving.episodes if each.first.drive in time.drives]
    counts: dict[str, Counter[str]] = {f"{name}{end}": Counter() for name in ("total", *names) for end in ("", *(f".{part}" for part in slices))}
    for each in clocked:
        for end in ("", *(f".{part}" for part, members in in_slice.items() if each.first.id in members)):
            for name in {"total", each.type, each.category} & {"total", *names}:
                counts[f"{name}{end}"][each.first.drive] += 1
    table = {name: np.array([count[drive] for drive in drives], dtype=np.int64) for name, count in counts.items()}
    hours = {"": np.array([time.drives.get(drive, 0.0) for drive in drives]) / 3600}
    hours |= {part: np.array([time.slices[part].get(drive, 0.0) for drive in drives]) / 3600 for part in slices}
    part_of = {f"{name}{f'.{part}' if part else ''}": part for name in ("total", *names) for part in hours}
    tracking = np.array([_row(driving.scores.get(drive)) for drive in drives], dtype=np.int64).reshape(-1, 6)

    def measure(weights: Weights) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, count in table.items():
            driven = float(weights @ hours[part_of[name]])
            found[f"mistakes_per_hour.{name}"] = float(weights @ count) / driven if driven > 0 else None
        if config.classes:
            objects, boxes, misses, false_boxes, switches, identical = (weights @ tracking).tolist()
            found["mota"] = 1 - (misses + false_boxes + switches) / objects if objects else None
            found["idf1"] = 2 * identical / (objects + boxes) if objects + boxes else None
        return found

    return measure


def _judged(kind: str, config: ModelConfig) -> bool:
    needs = {"lost_track": config.classes, "false_track": config.classes, "wrong_state": config.states, "off_path": config.ahead}
    return bool(needs[kind])


def _row(scores: Scores | None) -> list[int]:
    return [0] * 6 if scores is None else [scores.objects, scores.boxes, scores.misses, scores.false_boxes, scores.switches, scores.identical]
