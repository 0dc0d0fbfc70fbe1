"""Mistakes as rows of the event table, each with its frame and label: single-frame mistakes, and episodes while driving.

An episode is a continuous time in which something is wrong; it is one mistake however long it lasts. A lost object is one mistake however often it
is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tracecore_evaluation.detections import Frame, GroundTruth
from tracecore_evaluation.driving_time import seconds_between
from tracecore_evaluation.evaluate import FrameEvaluation, Limits
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.obstacle_kpis import Match
from tracecore_evaluation.predictions import Predictions
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.tracking_metrics import Scores, TrackedFrame
from tracecore_schemas.arrow_tables import EVENTS, table_of
from tracecore_schemas.canonical import digest_json, hex_of
from tracecore_schemas.kinds import LIGHT_STATE

__all__ = [
    "PATH",
    "Episode",
    "false_tracks",
    "frame_mistakes",
    "lasting",
    "lost_tracks",
    "mistake_row",
    "mistakes_table",
    "runs",
    "seen_track",
    "wrong_paths",
    "wrong_states",
]

PATH = "path"
"""Category of path mistakes."""


def frame_mistakes(
    frames: Sequence[Frame], labels: Labels, answers: Predictions, judged: FrameEvaluation, config: ModelConfig, limits: Limits, slicing: Slicing
) -> list[dict[str, Any]]:
    """Return the mistakes on single frames (wrong boxes, light states and paths), in order of frame, as rows for `mistakes_table`.

    A false box that overlaps an object of another class by `limits.iou` or more is one mistake, `wrong_class`; that object is not listed as a miss.
    """
    rows: list[dict[str, Any]] = []
    for frame in frames:
        if frame.id in judged.obstacles.matches:
            rows += _boxes(frame, judged.obstacles.matches[frame.id], config.classes, limits.iou, slicing)
        if frame.id in labels.lights and frame.id in answers.lights:
            probabilities = answers.lights[frame.id]
            found = int(np.argmax(probabilities))
            if found != labels.lights[frame.id]:
                states: dict[str, Any] = {"expected": config.states[labels.lights[frame.id]], "found": config.states[found]}
                rows.append(mistake_row(frame, "wrong_state", LIGHT_STATE, slicing, **states, score=float(probabilities[found])))
        errors = judged.path.errors.get(frame.id)
        if errors is not None and not np.isnan(errors).all() and float(np.nanmean(errors)) > limits.off_path:
            worst = int(np.nanargmax(errors))
            ways: dict[str, Any] = {
                name: f"{left[worst]:+.2f} m to the left at {config.ahead[worst]:g} m ahead"
                for name, left in (("expected", labels.paths[frame.id]), ("found", answers.paths[frame.id]))
            }
            rows.append(mistake_row(frame, "off_path", PATH, slicing, **ways, error=float(np.nanmean(errors))))
    return rows


def _boxes(frame: Frame, match: Match, classes: Sequence[str], iou: float, slicing: Slicing) -> list[dict[str, Any]]:
    """Return the event rows of one frame's false positives, wrong classes (overlap of at least `iou` with another class) and misses."""
    rows: list[dict[str, Any]] = []
    seen, truth = match.seen, match.truth
    explained: set[int] = set()
    for row in np.flatnonzero(match.hit == -1).tolist():
        found, score, overlap = classes[seen.classes[row]], float(seen.scores[row]), float(match.overlap_seen[row])
        taken_for = match.other_class(row, iou)
        if taken_for is None:
            rows.append(mistake_row(frame, "false_positive", found, slicing, seen.boxes[row].tolist(), score=score, iou=overlap, found=found))
            continue
        explained.add(taken_for)
        of_object = _object(truth, taken_for)
        expected = classes[truth.classes[taken_for]]
        both = {"score": score, "iou": overlap, "expected": expected, "found": found}
        rows.append(mistake_row(frame, "wrong_class", expected, slicing, seen.boxes[row].tolist(), **both, **of_object))
    for row in np.flatnonzero(~match.found & ~truth.crowd).tolist():
        if row not in explained:
            category = classes[truth.classes[row]]
            facts = {"iou": float(match.overlap_true[row]), "expected": category} | _object(truth, row)
            rows.append(mistake_row(frame, "miss", category, slicing, truth.boxes[row].tolist(), **facts))
    return rows


def _object(truth: GroundTruth, row: int) -> dict[str, Any]:
    """Return the event columns that describe the object with row index `row` in `truth`: label id, track, distance and area."""
    return {"label_id": truth.ids[row], "track": truth.track(row), "distance": truth.distance(row), "area": float(truth.areas[row])}


def mistake_row(frame: Frame, type_: str, category: str, slicing: Slicing, box: Sequence[float] | None = None, **facts: Any) -> dict[str, Any]:
    """Return a mistake's event row, without its id, for an object's box (x, y, width, height in px) or, if that is None, for the whole frame.

    `facts` are further columns, and `area` (px^2) if the object's area, by which its size is classed, differs from its box's.
    """
    x, y, width, height = (0.0, 0.0, float(frame.width), float(frame.height)) if box is None else box
    where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
    area = facts.pop("area", width * height)
    conditions = slicing.conditions(frame, area=None if box is None else area, distance=facts.get("distance"))
    row = where | {"type": type_, "category": category, "x": x, "y": y, "width": width, "height": height, "conditions": conditions}
    return {"iou": 0.0} | row | facts


def mistakes_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows of mistakes as an event table; before that, set each row's `event_id`, a digest of its content, in place."""
    twice: dict[str, int] = {}
    for event in rows:
        content = {name: str(value) if name == "timestamp_ns" else value for name, value in event.items() if value is not None}
        digest = hex_of(digest_json(content))
        twice[digest] = twice.get(digest, 0) + 1
        # Two detections may be identical; they still are two events.
        event["event_id"] = (digest if twice[digest] == 1 else hex_of(digest_json([digest, twice[digest]])))[:32]
    return table_of(EVENTS, rows)


@dataclass(frozen=True, slots=True)
class Episode:
    """One mistake while driving: its first and last frame, and its event row (see `mistake_row`)."""

    first: Frame
    last: Frame
    row: dict[str, Any]

    @property
    def seconds(self) -> float | None:
        """Seconds from the mistake's first frame to its last; None without a clock."""
        return None if self.first.clock == "index" else seconds_between(self.first, self.last)


def lasting(frames: Sequence[Frame]) -> list[float]:
    """Return how many seconds each frame of a stretch lasts: until the next frame; the last one as long as the one before it, or 0."""
    seconds = [seconds_between(before, after) for before, after in pairwise(frames)]
    return [*seconds, seconds[-1] if seconds else 0.0]


def runs(wrong: Sequence[bool | None], seconds: Sequence[float], least: float) -> Iterator[tuple[int, int]]:
    """Yield the (first, last) indices of each run of True whose `seconds` sum to at least `least`; None (not known) ends a run as False does."""
    for is_wrong, group in groupby(range(len(wrong)), key=lambda place: bool(wrong[place])):
        places = list(group)
        if is_wrong and round(sum(seconds[places[0] : places[-1] + 1]), 6) >= least:
            yield places[0], places[-1]


def lost_tracks(
    stretch: Sequence[Frame], moments: Sequence[TrackedFrame], scores: Scores, config: ModelConfig, least: float, slicing: Slicing
) -> Iterator[Episode]:
    """Yield a mistake for each relevant (near or large) object that no track follows for at least `least` s; it covers the longest such time.

    Only the longest counts: otherwise a perception that sees an object intermittently would make more mistakes than one that never does.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for place, moment in enumerate(moments):
        for column, name in enumerate(moment.names):
            if moment.relevant[column]:
                places.setdefault(name, []).append((place, column))
    seconds = lasting(stretch)
    for name, there in sorted(places.items()):
        unseen: list[bool | None] = [None] * len(moments)
        columns = dict(there)
        for place, column in there:
            unseen[place] = not scores.seen[place][column]
        lost = max(runs(unseen, seconds, least), key=lambda run: (round(sum(seconds[run[0] : run[1] + 1]), 6), -run[0]), default=None)
        if lost is not None:
            first, last = lost
            truth, column = moments[first].truth, columns[first]
            category = config.classes[truth.classes[column]]
            time = f"{last - first + 1} frames" if stretch[0].clock == "index" else f"{sum(seconds[first : last + 1]):.1f} s"
            facts = _object(truth, column) | {"expected": category, "found": f"nothing for {time}", "track": name}
            row = mistake_row(stretch[first], "lost_track", category, slicing, truth.boxes[column].tolist(), **facts)
            yield Episode(stretch[first], stretch[last], row)


def seen_track(stretch: Sequence[Frame], number: int) -> str:
    """Return the name of track `number` that the tracker computed on a stretch, unique within its drive and sensor."""
    return f"seen-{stretch[0].timestamp_ns}-{number}"


def false_tracks(
    stretch: Sequence[Frame], moments: Sequence[TrackedFrame], scores: Scores, config: ModelConfig, slicing: Slicing
) -> Iterator[Episode]:
    """Yield a mistake for each confirmed track that never overlapped a labeled box by `NOTHING` or more, from its first frame to its last."""
    for number, places in scores.nothing.items():
        tracked = moments[places[0]].tracked
        at = tracked.numbers.index(number)
        category = config.classes[tracked.classes[at]]
        facts = {"found": category, "track": seen_track(stretch, number), "score": float(tracked.scores[at])}
        row = mistake_row(stretch[places[0]], "false_track", category, slicing, tracked.boxes[at].tolist(), **facts)
        yield Episode(stretch[places[0]], stretch[places[-1]], row)


def wrong_states(
    stretch: Sequence[Frame], labels: Labels, predicted: Mapping[str, int], config: ModelConfig, least: float, slicing: Slicing
) -> Iterator[Episode]:
    """Yield a mistake for each time the predicted light state was wrong for at least `least` s without a break."""
    wrong = [labels.lights[frame.id] != predicted[frame.id] if frame.id in labels.lights and frame.id in predicted else None for frame in stretch]
    for first, last in runs(wrong, lasting(stretch), least):
        frame = stretch[first]
        states: dict[str, Any] = {"expected": config.states[labels.lights[frame.id]], "found": config.states[predicted[frame.id]]}
        yield Episode(frame, stretch[last], mistake_row(frame, "wrong_state", LIGHT_STATE, slicing, **states))


def wrong_paths(
    stretch: Sequence[Frame], labels: Labels, predicted: Mapping[str, NDArray[np.float64]], limit: float, least: float, slicing: Slicing
) -> Iterator[Episode]:
    """Yield a mistake for each time the predicted path's mean error was above `limit` m for at least `least` s without a break."""
    errors = [_error(labels.paths.get(frame.id), predicted.get(frame.id)) for frame in stretch]
    for first, last in runs([None if error is None else error > limit for error in errors], lasting(stretch), least):
        frame = stretch[first]
        worst = max(error for error in errors[first : last + 1] if error is not None)
        yield Episode(frame, stretch[last], mistake_row(frame, "off_path", PATH, slicing, error=worst))


def _error(true: NDArray[np.float64] | None, predicted: NDArray[np.float64] | None) -> float | None:
    if true is None or predicted is None:
        return None
    errors = np.abs(predicted - true)
    return None if np.isnan(errors).all() else float(np.nanmean(errors))
