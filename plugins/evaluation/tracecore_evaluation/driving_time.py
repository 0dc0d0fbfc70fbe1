"""Driving: evaluated frames as stretches without a break, and how long was driven."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tracecore_evaluation.detections import Frame

__all__ = ["BY_INDEX", "MOST_SECONDS", "Time", "driven", "seconds_between", "stretches"]

MOST_SECONDS = 2.0
"""Frames farther apart are not one drive without a break: the time between them doesn't count."""

DriveTime = tuple[str, int]
"""A drive and a timestamp."""

BY_INDEX = 0.5
"""Seconds that a frame without a clock is taken to last: for tracking and for how long something is wrong, never for a rate."""


@dataclass(frozen=True, slots=True)
class Time:
    """How long was driven: a drive's frames of one moment, by any camera, last until its next frames, the last ones as long as those before.

    Attributes:
        lasting: seconds by drive and timestamp, of drives with a clock.
        slices: the moments of each slice: of each of its frames all until the next frame of the same camera.
    """

    lasting: Mapping[DriveTime, float]
    slices: Mapping[str, Collection[DriveTime]]

    @property
    def drives(self) -> dict[str, float]:
        """Seconds by drive; drives without a clock have none."""
        found: dict[str, float] = {}
        for (drive, _), seconds in self.lasting.items():
            found[drive] = found.get(drive, 0.0) + seconds
        return found


def stretches(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Yield the frames of each camera of each drive, split where more than `MOST_SECONDS` lie between two."""
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
    """Return the time between two frames of a drive."""
    if after.clock == "index":
        return BY_INDEX * (after.timestamp_ns - before.timestamp_ns)
    return (after.timestamp_ns - before.timestamp_ns) / 1e9


def driven(frames: Sequence[Frame], slices: Mapping[str, Sequence[Frame]]) -> Time:
    """Sum driving time up: the time from a frame to the next of its camera belongs to the slices of the first of them.

    The last frame before a break lasts as long as the one before it, so that a camera of any rate drives as long over the same time.
    """
    ends = {frame.id: end for stretch in stretches(frames) for frame, end in zip(stretch, _ends(stretch), strict=True)}
    times: dict[str, list[int]] = {}
    for drive, time in sorted({(frame.drive, frame.timestamp_ns) for frame in frames}):
        times.setdefault(drive, []).append(time)

    def moments(frame: Frame) -> Iterator[DriveTime]:
        of_drive = times[frame.drive]
        for place in range(bisect_left(of_drive, frame.timestamp_ns), bisect_left(of_drive, ends[frame.id])):
            yield frame.drive, of_drive[place]

    of_slices = {name: sorted({moment for frame in members for moment in moments(frame)}) for name, members in slices.items()}
    return Time(dict(_lasting(frames)), of_slices)


def _ends(stretch: Sequence[Frame]) -> list[int]:
    """Return when each frame of a camera ends, in the unit of its clock; a moment at least."""
    times = [frame.timestamp_ns for frame in stretch]
    ends = [max(after, before + 1) for before, after in pairwise(times)]
    return [*ends, times[-1] + max(times[-1] - times[-2] if len(times) > 1 else 0, 1)]


def _lasting(frames: Iterable[Frame]) -> Iterator[tuple[DriveTime, float]]:
    moments = sorted({(frame.drive, frame.timestamp_ns) for frame in frames if frame.clock != "index"})
    before = 0.0
    for place, moment in enumerate(moments):
        following = moments[place + 1] if place + 1 < len(moments) else ("", 0)
        seconds = (following[1] - moment[1]) / 1e9
        is_next = following[0] == moment[0] and seconds <= MOST_SECONDS
        yield moment, seconds if is_next else before
        before = seconds if is_next else 0.0
