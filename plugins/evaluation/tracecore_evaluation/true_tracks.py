"""What is true while driving: the tracks of labeled objects over stretches without a break, and which of the objects have to be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.driving import seconds_between
from tracecore_evaluation.scene import Frame, Seen, Truth
from tracecore_evaluation.tracker import Tracker, TrackerSettings
from tracecore_evaluation.tracking import Moment

__all__ = ["Relevance", "Stretch", "moments_of", "of_class", "repeated", "true_stretch", "untracked"]

_NOTHING = Seen(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Relevance:
    """Which objects have to be seen: those within `distance` m, and where the distance is unknown, those at least `height` px high."""

    distance: float
    height: float

    def of(self, truth: Truth) -> NDArray[np.bool_]:
        """Whether each true box counts; crowds never do."""
        known = [truth.distance(row) for row in range(len(truth.ids))]
        near = [high >= self.height if far is None else far <= self.distance for far, high in zip(known, truth.boxes[:, 3].tolist(), strict=True)]
        return np.array(near, dtype=bool) & ~truth.crowd


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames of one camera without a break on which boxes were looked for: by frame its true boxes, their tracks, and which of them count."""

    frames: tuple[Frame, ...]
    truths: tuple[Truth, ...]
    names: tuple[tuple[str, ...], ...]
    relevant: tuple[NDArray[np.bool_], ...]


def untracked(frames: Sequence[Frame], truth: Mapping[str, Truth]) -> set[str]:
    """Return the drives with objects of which none names its track."""
    named: dict[str, bool] = {}
    for frame in frames:
        of_frame = truth.get(frame.id)
        rows = [] if of_frame is None else np.flatnonzero(~of_frame.crowd).tolist()
        if of_frame is not None and rows:
            named[frame.drive] = named.get(frame.drive, False) or any(of_frame.track(row) is not None for row in rows)
    return {drive for drive, is_named in named.items() if not is_named}


def repeated(frames: Sequence[Frame], truth: Mapping[str, Truth]) -> set[str]:
    """Return the drives with a frame on which one track has two boxes, so that it can't be one object's."""
    found = set()
    for frame in frames:
        of_frame = truth.get(frame.id)
        if of_frame is not None:
            names = [name for row in np.flatnonzero(~of_frame.crowd).tolist() if (name := of_frame.track(row)) is not None]
            found |= {frame.drive} if len(set(names)) < len(names) else set()
    return found


def true_stretch(frames: Sequence[Frame], truth: Mapping[str, Truth], settings: TrackerSettings, relevance: Relevance, *, track: bool) -> Stretch:
    """Return what is true of a stretch.

    Args:
        frames: without a break, all of one camera.
        truth: by frame ref.
        settings: of the tracker.
        relevance: which objects count.
        track: whether the labels' tracks are made here, from the boxes alone, in place of those that the labels name.
    """
    truths = tuple(truth[frame.id] for frame in frames)
    names = tuple(_tracked(frames, truths, settings) if track else map(_named, truths))
    return Stretch(tuple(frames), truths, names, tuple(relevance.of(each) for each in truths))


def _named(truth: Truth) -> tuple[str, ...]:
    """Name the tracks of boxes; a box without one, or a crowd, is a track of its own, on its frame alone."""
    return tuple((None if truth.crowd[row] else truth.track(row)) or truth.ids[row] for row in range(len(truth.ids)))


def _tracked(frames: Sequence[Frame], truths: Sequence[Truth], settings: TrackerSettings) -> Iterator[tuple[str, ...]]:
    """Track boxes: each counts as a detection, and one is enough."""
    tracker = Tracker(replace(settings, confirm=0.0))
    before = frames[0]
    for frame, truth in zip(frames, truths, strict=True):
        tracked = tracker.step(Seen(truth.boxes, np.ones(len(truth.classes)), truth.classes), seconds_between(before, frame))
        names = {row: f"{frames[0].timestamp_ns}-{number}" for row, number in zip(tracked.rows, tracked.numbers, strict=True)}
        yield tuple(names[row] for row in range(len(truth.ids)))
        before = frame


def moments_of(stretch: Stretch, seen: Mapping[str, Seen], settings: TrackerSettings) -> list[Moment]:
    """Return a stretch with what a tracker makes of the detections on it.

    Args:
        stretch: what is true.
        seen: detections by frame ref.
        settings: of the tracker.
    """
    tracker = Tracker(settings)
    moments = []
    before = stretch.frames[0]
    for frame, truth, names, relevant in zip(stretch.frames, stretch.truths, stretch.names, stretch.relevant, strict=True):
        moments.append(Moment(truth, names, relevant, tracker.step(seen.get(frame.id, _NOTHING), seconds_between(before, frame))))
        before = frame
    return moments


def of_class(moment: Moment, class_: int) -> Moment:
    """Return the boxes and tracks of one class."""
    truth, tracked = moment.truth, moment.tracked
    true, seen = np.flatnonzero(truth.classes == class_), np.flatnonzero(tracked.classes == class_)
    return Moment(truth.take(true), tuple(moment.names[row] for row in true.tolist()), moment.relevant[true], tracked.take(seen))
