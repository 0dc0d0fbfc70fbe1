"""Online metrics (level 2) of a perception while driving: tracks, episodes, rates per hour, and the table of tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tracecore_evaluation.detections import SIDES, Frame
from tracecore_evaluation.driving_time import Time, stretches
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.intervals import Measure, Units, Weights
from tracecore_evaluation.mistakes import Episode, false_tracks, lost_tracks, seen_track, wrong_paths, wrong_states
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.predictions import Predictions
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.tracker import TrackerSettings
from tracecore_evaluation.tracking_metrics import (
    COUNTS,
    Relevance,
    Scores,
    Stretch,
    TrackedFrame,
    followed,
    moments_of,
    true_stretch,
    unusable_tracks,
)
from tracecore_schemas.arrow_tables import TRACKS, table_of

__all__ = [
    "KINDS",
    "Driving",
    "Rules",
    "TrackedStretch",
    "drive",
    "driving_measure",
    "rates",
    "tracking_kpis",
    "tracks_table",
    "true_stretches",
]

KINDS = ("lost_track", "false_track", "wrong_state", "off_path")
"""Types of mistakes while driving."""

Counts = NDArray[np.int64]
"""Tracking counts in the order of `COUNTS`."""


@dataclass(frozen=True, slots=True)
class TrackedStretch:
    """A stretch with the tracks computed from its detections, and their scores."""

    stretch: Stretch
    moments: Sequence[TrackedFrame]
    scores: Scores


@dataclass(frozen=True, slots=True)
class Driving:
    """Mistakes and tracks over all drives.

    Attributes:
        untracked: drives whose labels have no tracks; they were computed from the labels' boxes.
        repeated: drives whose labels use one track twice on a frame; tracks were computed likewise.
    """

    episodes: tuple[Episode, ...]
    followed: tuple[TrackedStretch, ...]
    untracked: tuple[str, ...]
    repeated: tuple[str, ...]

    def by_drive(self) -> dict[str, Counts]:
        """Return the tracking counts by drive: objects, tracked boxes, misses, false boxes, identity switches, and boxes with the right identity."""
        found: dict[str, Counts] = {}
        for each in self.followed:
            name = each.stretch.frames[0].drive
            found[name] = found.get(name, np.zeros(len(COUNTS), dtype=np.int64)) + each.scores.by_moment.sum(axis=0)
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for what counts as a mistake while driving.

    Attributes:
        iou: least overlap at which a track follows an object.
        episode: least duration of a mistake, s.
        off_path: mean lateral error above which a path is wrong, m.
        relevance: which objects must be seen.
        tracker: how tracks are computed.
    """

    iou: float
    episode: float
    off_path: float
    relevance: Relevance
    tracker: TrackerSettings


def true_stretches(frames: Sequence[Frame], labels: Labels, rules: Rules) -> list[Stretch]:
    """Return the ground truth of every stretch (consecutive frames of one camera) of frames with box labels.

    Where a drive's labels have no tracks, or use one track twice on a frame, tracks are computed from the true boxes.
    """
    unusable = set.union(*unusable_tracks(frames, labels.truth))
    boxed = [frame for frame in frames if frame.id in labels.truth]
    return [true_stretch(stretch, labels.truth, rules.tracker, rules.relevance, track=stretch[0].drive in unusable) for stretch in stretches(boxed)]


def drive(frames: Sequence[Frame], labels: Labels, answers: Predictions, config: ModelConfig, rules: Rules, slicing: Slicing) -> Driving:
    """Track detections, compare tracks, light states and paths with the labels; return the mistakes, by drive and time, and the tracks."""
    episodes: list[Episode] = []
    tracked: list[TrackedStretch] = []
    predicted = {id_: int(np.argmax(probabilities)) for id_, probabilities in answers.lights.items()}
    for true in true_stretches(frames, labels, rules) if config.classes else ():
        moments = moments_of(true, answers.seen, rules.tracker)
        scores = followed(moments, rules.iou)
        tracked.append(TrackedStretch(true, moments, scores))
        episodes += lost_tracks(true.frames, moments, scores, config, rules.episode, slicing)
        episodes += false_tracks(true.frames, moments, scores, config, slicing)
    for stretch in stretches(frames):
        episodes += wrong_states(stretch, labels, predicted, config, rules.episode, slicing)
        episodes += wrong_paths(stretch, labels, answers.paths, rules.off_path, rules.episode, slicing)
    ordered = sorted(
        episodes, key=lambda each: (each.first.drive, each.first.timestamp_ns, each.first.sensor, each.row["type"], each.row.get("track") or "")
    )
    if not config.classes:
        return Driving(tuple(ordered), (), (), ())
    untracked, repeated = unusable_tracks(frames, labels.truth)
    return Driving(tuple(ordered), tuple(tracked), tuple(sorted(untracked)), tuple(sorted(repeated)))


def rates(driving: Driving, time: Time, slices: Mapping[str, Sequence[Frame]], config: ModelConfig, units: Units) -> dict[str, float | None]:
    """Return the KPIs of driving by name: mistakes per hour in total, by type, class and slice, MOTA and IDF1; None if undefined."""
    return dict(driving_measure(driving, time, slices, config, units)(np.ones(units.count, dtype=np.int64)))


def driving_measure(driving: Driving, time: Time, slices: Mapping[str, Sequence[Frame]], config: ModelConfig, units: Units) -> Measure:
    """Return a function from weights of units (drives, time blocks) to driving KPIs; a mistake counts for its first frame's unit and slices."""
    needs = {"lost_track": config.classes, "false_track": config.classes, "wrong_state": config.states, "off_path": config.ahead}
    names = ["total", *(kind for kind in KINDS if needs[kind]), *config.classes]
    in_slice = {name: {frame.id for frame in members} for name, members in slices.items()}
    counts = {(name, part): np.zeros(units.count, dtype=np.int64) for name in names for part in ("", *slices)}
    clocked = {name for name, seconds in time.drives.items() if seconds > 0}
    for mistake in driving.episodes:
        if mistake.first.drive in clocked:
            for part in ("", *(part for part, members in in_slice.items() if mistake.first.id in members)):
                for name in {"total", mistake.row["type"], mistake.row["category"]} & {*names}:
                    counts[name, part][units.number(mistake.first)] += 1
    hours = {part: _hours(time.lasting if part == "" else time.slices[part], time, units) for part in ("", *slices)}
    tracking = np.zeros((units.count, len(COUNTS)), dtype=np.int64)
    for each in driving.followed:
        for frame, row in zip(each.stretch.frames, each.scores.by_moment, strict=True):
            tracking[units.number(frame)] += row

    def measure(weights: Weights) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for (name, part), count in counts.items():
            driven = float(weights @ hours[part])
            found[f"mistakes_per_hour.{name}{f'.{part}' if part else ''}"] = float(weights @ count) / driven if driven > 0 else None
        if config.classes:
            found.update(tracking_kpis(weights @ tracking))
        return found

    return measure


def tracking_kpis(counts: Counts) -> dict[str, float | None]:
    """Return `mota` and `idf1` from tracking counts in the order of `COUNTS`; None for a KPI with nothing to count."""
    objects, boxes, misses, false_boxes, switches, identical = counts.tolist()
    return {
        "mota": 1 - (misses + false_boxes + switches) / objects if objects else None,
        "idf1": 2 * identical / (objects + boxes) if objects + boxes else None,
    }


def _hours(moments: Iterable[tuple[str, int]], time: Time, units: Units) -> NDArray[np.float64]:
    """Return the driving hours of moments (drive, timestamp), summed by unit (drive or block of time), [units]."""
    found = np.zeros(units.count)
    for moment in moments:
        found[units.of[moment]] += time.lasting.get(moment, 0.0) / 3600
    return found


def tracks_table(driving: Driving, config: ModelConfig) -> pa.Table:
    """Return a table of every true box and every tracked box, in order of drive, sensor and time.

    Rows that are `counted` reproduce MOTA and IDF1 (counted per drive and sensor, then summed). After a break between frames, the name of a true
    object's track gets a suffix (`/2`), since the tracker starts new tracks too.
    """
    rows: list[dict[str, Any]] = []
    begun: Counter[tuple[str, str]] = Counter()
    for each in driving.followed:
        first = each.stretch.frames[0]
        begun[first.drive, first.sensor] += 1
        rows += _rows(each, config, begun[first.drive, first.sensor])
    return table_of(TRACKS, rows)


def _rows(found: TrackedStretch, config: ModelConfig, number: int) -> Iterator[dict[str, Any]]:
    """Yield the track table's rows, of true and tracked boxes, for one stretch, the `number`-th (from 1) of its drive and sensor."""
    suffix = f"/{number}" if number > 1 else ""
    for place, (frame, moment) in enumerate(zip(found.stretch.frames, found.moments, strict=True)):
        where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
        truth, tracked = moment.truth, moment.tracked
        for row, name in enumerate(moment.names):
            box = dict(zip(SIDES, truth.boxes[row].tolist(), strict=True))
            known = {"track": f"{name}{suffix}", "category": config.classes[truth.classes[row]], "counted": bool(moment.relevant[row])}
            yield where | {"side": "truth"} | known | box
        for row, own in enumerate(tracked.numbers):
            box = dict(zip(SIDES, tracked.boxes[row].tolist(), strict=True))
            known = {"track": seen_track(found.stretch.frames, own), "category": config.classes[tracked.classes[row]]}
            yield where | {"side": "seen", "score": float(tracked.scores[row]), "counted": bool(found.scores.counted[place][row])} | known | box
