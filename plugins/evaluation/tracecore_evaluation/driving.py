"""Driving: evaluated frames as stretches without a break, what is true of each, and how long was driven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from tracecore_evaluation.scene import Frame, Seen, Truth
from tracecore_evaluation.tracker import Tracker, TrackerSettings

__all__ = ["MOST_SECONDS", "Time", "driven", "seconds_between", "stretches", "tracks_of"]

MOST_SECONDS = 2.0
"""Frames farther apart are not one drive without a break: the time between them doesn't count."""

_BY_INDEX = 0.1  # seconds that a frame without a clock is taken to last, for the tracker alone


@dataclass(frozen=True, slots=True)
class Time:
    """How long was driven: seconds by drive, and by slice and drive; drives without a clock have none."""

    drives: Mapping[str, float]
    slices: Mapping[str, Mapping[str, float]]


def stretches(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Give the frames of each camera of each drive, split where more than `MOST_SECONDS` lie between two."""
    ordered = sorted(frames, key=lambda frame: (frame.drive, frame.sensor, frame.timestamp_ns))
    for _, group in groupby(ordered, key=lambda frame: (frame.drive, frame.sensor)):
        stretch: list[Frame] = []
        for frame in group:
            if stretch and seconds_between(stretch[-1], frame) > MOST_SECONDS:
                yield stretch
                stretch = []
            stretch.append(frame)
        yield stretch


def seconds_between(before: Frame, after: Frame) -> float:
    """Give the time between two frames of a drive."""
    if after.clock == "index":
        return _BY_INDEX * (after.timestamp_ns - before.timestamp_ns)
    return (after.timestamp_ns - before.timestamp_ns) / 1e9


def driven(frames: Sequence[Frame], slices: Mapping[str, Sequence[Frame]]) -> Time:
    """Sum driving time up: the time from a frame to the next of its drive, by any camera, belongs to the slices of the first of them."""
    lasting = dict(_lasting(frames))
    drives: dict[str, float] = {}
    for frame, seconds in lasting.items():
        drives[frame[0]] = drives.get(frame[0], 0.0) + seconds
    by_slice: dict[str, dict[str, float]] = {}
    for name, members in slices.items():
        of_slice = by_slice.setdefault(name, {})
        for moment in sorted({(frame.drive, frame.timestamp_ns) for frame in members}):
            if moment in lasting:
                of_slice[moment[0]] = of_slice.get(moment[0], 0.0) + lasting[moment]
    return Time(drives, by_slice)


def _lasting(frames: Iterable[Frame]) -> Iterator[tuple[tuple[str, int], float]]:
    moments = sorted({(frame.drive, frame.timestamp_ns) for frame in frames if frame.clock != "index"})
    for before, after in pairwise(moments):
        seconds = (after[1] - before[1]) / 1e9
        if before[0] == after[0] and seconds <= MOST_SECONDS:
            yield before, seconds


def tracks_of(stretch: Sequence[Frame], truth: Mapping[str, Truth], settings: TrackerSettings) -> dict[str, tuple[str | None, ...]]:
    """Track labels that say nothing of tracks: by frame ref a track for each box, made from the boxes alone.

    Args:
        stretch: frames without a break.
        truth: by frame ref.
        settings: of the tracker; each label counts as a detection, and one is enough.
    """
    tracker = Tracker(TrackerSettings(0.0, settings.iou, settings.buffer, 1, settings.max_age))
    found: dict[str, tuple[str | None, ...]] = {}
    before: Frame | None = None
    for frame in stretch:
        of_frame = truth[frame.id]
        tracked = tracker.step(Seen(of_frame.boxes, np.ones(len(of_frame.classes)), of_frame.classes), seconds_between(before or frame, frame))
        names = {row: f"{stretch[0].timestamp_ns}-{number}" for row, number in zip(tracked.rows, tracked.numbers, strict=True)}
        found[frame.id] = tuple(names.get(row) for row in range(len(of_frame.ids)))
        before = frame
    return found
