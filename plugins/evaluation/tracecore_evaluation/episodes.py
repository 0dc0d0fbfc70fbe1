"""Mistakes of the perception as episodes: something wrong for some frames in a row is one mistake, however long it lasts.

An object that is lost is one mistake, however often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

__all__ = ["Episode", "false_tracks", "lost_tracks", "runs", "wrong_paths", "wrong_states"]


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


def runs(wrong: Sequence[bool | None], least: int) -> Iterator[tuple[int, int]]:
    """Give (first, last) of each run of at least so many True in a row; None (nothing is known) breaks a run as False does."""
    begun: int | None = None
    for place, value in enumerate([*wrong, False]):
        if value and begun is None:
            begun = place
        elif not value and begun is not None:
            if place - begun >= least:
                yield begun, place - 1
            begun = None


def lost_tracks(
    stretch: Sequence[Frame], moments: Sequence[Moment], scores: Scores, config: ModelConfig, least: int, slicing: Slicing
) -> Iterator[Episode]:
    """Give the objects that count and are not followed for at least so many frames in a row: each once, with the longest time it was lost.

    Once, because else a perception that sees an object now and then would make more mistakes than one that never does.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for place, moment in enumerate(moments):
        for column, name in enumerate(moment.names):
            if name is not None and moment.relevant[column]:
                places.setdefault(name, []).append((place, column))
    for name, there in sorted(places.items()):
        unseen: list[bool | None] = [None] * len(moments)
        columns = dict(there)
        for place, column in there:
            unseen[place] = not scores.seen[place][column]
        lost = max(runs(unseen, least), key=lambda run: (run[1] - run[0], -run[0]), default=None)
        if lost is not None:
            first, last = lost
            truth, column = moments[first].truth, columns[first]
            category = config.classes[truth.classes[column]]
            facts = {
                "expected": category,
                "found": f"nothing for {last - first + 1} frames",
                "label_id": truth.ids[column],
                "track": name,
                "distance": truth.distance(column),
                "area": float(truth.areas[column]),
            }
            row = event_of(stretch[first], "lost_track", category, truth.boxes[column].tolist(), slicing, **facts)
            yield Episode(stretch[first], stretch[last], row)


def false_tracks(stretch: Sequence[Frame], moments: Sequence[Moment], scores: Scores, config: ModelConfig, slicing: Slicing) -> Iterator[Episode]:
    """Give the confirmed tracks that are on nothing."""
    for number, places in scores.nothing.items():
        tracked = moments[places[0]].tracked
        at = tracked.numbers.index(number)
        category = config.classes[tracked.classes[at]]
        facts = {"found": category, "track": f"tracker-{stretch[0].timestamp_ns}-{number}", "score": float(tracked.scores[at])}
        row = event_of(stretch[places[0]], "false_track", category, tracked.boxes[at].tolist(), slicing, **facts)
        yield Episode(stretch[places[0]], stretch[places[-1]], row)


def wrong_states(
    stretch: Sequence[Frame], labels: Labels, said: Mapping[str, int], config: ModelConfig, least: int, slicing: Slicing
) -> Iterator[Episode]:
    """Give when the state of the light was wrong for at least so many frames in a row."""
    wrong = [labels.lights[frame.id] != said[frame.id] if frame.id in labels.lights and frame.id in said else None for frame in stretch]
    for first, last in runs(wrong, least):
        frame = stretch[first]
        states = {"expected": config.states[labels.lights[frame.id]], "found": config.states[said[frame.id]]}
        yield Episode(frame, stretch[last], event_of(frame, "wrong_state", LIGHT, whole_frame(frame), slicing, **states))


def wrong_paths(
    stretch: Sequence[Frame], labels: Labels, said: Mapping[str, NDArray[np.float64]], limit: float, least: int, slicing: Slicing
) -> Iterator[Episode]:
    """Give when the path's mean error was above a limit for at least so many frames in a row."""
    errors = [_error(labels.paths.get(frame.id), said.get(frame.id)) for frame in stretch]
    for first, last in runs([None if error is None else error > limit for error in errors], least):
        frame = stretch[first]
        worst = max(error for error in errors[first : last + 1] if error is not None)
        yield Episode(frame, stretch[last], event_of(frame, "off_path", PATH, whole_frame(frame), slicing, error=worst))


def _error(true: NDArray[np.float64] | None, said: NDArray[np.float64] | None) -> float | None:
    if true is None or said is None:
        return None
    errors = np.abs(said - true)
    return None if np.isnan(errors).all() else float(np.nanmean(errors))
