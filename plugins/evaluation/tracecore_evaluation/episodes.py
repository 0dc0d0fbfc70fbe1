"""Mistakes of the perception as episodes: something wrong for some time without a break is one mistake, however long it lasts.

An object that is lost is one mistake, however often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.driving import seconds_between
from tracecore_evaluation.events import PATH, event_of, whole_frame
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.tracking import Moment, Scores
from tracecore_evaluation.truth import LIGHT, Labels

__all__ = ["Episode", "false_tracks", "lasting", "lost_tracks", "runs", "seen_track", "wrong_paths", "wrong_states"]


@dataclass(frozen=True, slots=True)
class Episode:
    """One mistake: the frame it begins on, the last it is seen on, and its row of the table of events, but for its id."""

    first: Frame
    last: Frame
    row: dict[str, Any]

    @property
    def type(self) -> str:
        """What sort of mistake."""
        return str(self.row["type"])

    @property
    def category(self) -> str:
        """Class of the object, or what the mistake is about."""
        return str(self.row["category"])

    @property
    def seconds(self) -> float | None:
        """From its first frame to its last; None without a clock."""
        return None if self.first.clock == "index" else seconds_between(self.first, self.last)


def lasting(frames: Sequence[Frame]) -> list[float]:
    """Return how long each frame of a stretch lasts, s: until the next one; the last one as long as the one before it."""
    seconds = [seconds_between(before, after) for before, after in pairwise(frames)]
    return [*seconds, seconds[-1] if seconds else 0.0]


def runs(wrong: Sequence[bool | None], seconds: Sequence[float], least: float) -> Iterator[tuple[int, int]]:
    """Return (first, last) of each run of True that lasts long enough; None (nothing is known) breaks a run as False does.

    Args:
        wrong: by frame.
        seconds: how long each frame lasts.
        least: seconds that a run has to last.
    """
    begun: int | None = None
    for place, value in enumerate([*wrong, False]):
        if value and begun is None:
            begun = place
        elif not value and begun is not None:
            if round(sum(seconds[begun:place]), 6) >= least:
                yield begun, place - 1
            begun = None


def lost_tracks(
    stretch: Sequence[Frame], moments: Sequence[Moment], scores: Scores, config: ModelConfig, least: float, slicing: Slicing
) -> Iterator[Episode]:
    """Return the objects that count and are not followed for at least so many seconds: each once, with the longest time it was lost.

    Once, because else a perception that sees an object now and then would make more mistakes than one that never does.
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
            facts = {
                "expected": category,
                "found": f"nothing for {time}",
                "label_id": truth.ids[column],
                "track": name,
                "distance": truth.distance(column),
                "area": float(truth.areas[column]),
            }
            row = event_of(stretch[first], "lost_track", category, truth.boxes[column].tolist(), slicing, **facts)
            yield Episode(stretch[first], stretch[last], row)


def seen_track(stretch: Sequence[Frame], number: int) -> str:
    """Return the name of a track that the tracker hands on, unique in its drive and sensor."""
    return f"seen-{stretch[0].timestamp_ns}-{number}"


def false_tracks(stretch: Sequence[Frame], moments: Sequence[Moment], scores: Scores, config: ModelConfig, slicing: Slicing) -> Iterator[Episode]:
    """Give the confirmed tracks that are on nothing."""
    for number, places in scores.nothing.items():
        tracked = moments[places[0]].tracked
        at = tracked.numbers.index(number)
        category = config.classes[tracked.classes[at]]
        facts = {"found": category, "track": seen_track(stretch, number), "score": float(tracked.scores[at])}
        row = event_of(stretch[places[0]], "false_track", category, tracked.boxes[at].tolist(), slicing, **facts)
        yield Episode(stretch[places[0]], stretch[places[-1]], row)


def wrong_states(
    stretch: Sequence[Frame], labels: Labels, said: Mapping[str, int], config: ModelConfig, least: float, slicing: Slicing
) -> Iterator[Episode]:
    """Give when the state of the light was wrong for at least so many seconds."""
    wrong = [labels.lights[frame.id] != said[frame.id] if frame.id in labels.lights and frame.id in said else None for frame in stretch]
    for first, last in runs(wrong, lasting(stretch), least):
        frame = stretch[first]
        states = {"expected": config.states[labels.lights[frame.id]], "found": config.states[said[frame.id]]}
        yield Episode(frame, stretch[last], event_of(frame, "wrong_state", LIGHT, whole_frame(frame), slicing, **states))


def wrong_paths(
    stretch: Sequence[Frame], labels: Labels, said: Mapping[str, NDArray[np.float64]], limit: float, least: float, slicing: Slicing
) -> Iterator[Episode]:
    """Give when the path's mean error was above a limit for at least so many seconds."""
    errors = [_error(labels.paths.get(frame.id), said.get(frame.id)) for frame in stretch]
    for first, last in runs([None if error is None else error > limit for error in errors], lasting(stretch), least):
        frame = stretch[first]
        worst = max(error for error in errors[first : last + 1] if error is not None)
        yield Episode(frame, stretch[last], event_of(frame, "off_path", PATH, whole_frame(frame), slicing, error=worst))


def _error(true: NDArray[np.float64] | None, said: NDArray[np.float64] | None) -> float | None:
    if true is None or said is None:
        return None
    errors = np.abs(said - true)
    return None if np.isnan(errors).all() else float(np.nanmean(errors))
