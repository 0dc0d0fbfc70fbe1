"""Driving time: splitting evaluated frames into continuous stretches and summing how long was driven."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tracecore_evaluation.detections import Frame

__all__ = ["BY_INDEX", "MOST_SECONDS", "Time", "driven", "seconds_between", "stretches"]

MOST_SECONDS = 2.0
"""Frames of a drive that are farther apart have a break between them; its time doesn't count."""

DriveTime = tuple[str, int]
"""A drive's name and a timestamp."""

BY_INDEX = 0.5
"""Assumed duration in s of a frame without a clock; used for tracking and episodes, never for a rate."""


@dataclass(frozen=True, slots=True)
class Time:
    """Driving time. A moment is a timestamp of a drive; it lasts until the drive's next moment, or as long as the previous one if a break follows.

    Attributes:
        lasting: seconds by moment, for drives with a clock.
        slices: by slice, the moments from each of its frames until the next frame of the same camera.
    """

    lasting: Mapping[DriveTime, float]
    slices: Mapping[str, Collection[DriveTime]]

    @property
    def drives(self) -> dict[str, float]:
        """Seconds of driving by drive; drives without a clock are missing."""
        found: dict[str, float] = {}
        for (drive, _), seconds in self.lasting.items():
            found[drive] = found.get(drive, 0.0) + seconds
        return found


def stretches(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Yield lists of consecutive frames of one camera in one drive, in order of time; a gap of more than `MOST_SECONDS` starts a new list."""
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
    """Return the seconds between two frames of a drive; without a clock, `BY_INDEX` seconds times the difference of their frame numbers."""
    if after.clock == "index":
        return BY_INDEX * (after.timestamp_ns - before.timestamp_ns)
    return (after.timestamp_ns - before.timestamp_ns) / 1e9


def driven(frames: Sequence[Frame], slices: Mapping[str, Sequence[Frame]]) -> Time:
    """Return the driving time of all frames and of each slice; in a slice, a frame lasts until the next frame of its camera.

    The last frame before a break lasts as long as the one before it, so that the total does not depend on a camera's frame rate.
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
    """Return each frame's end (as `timestamp_ns`): the next frame's time. The last lasts as long as the one before; each at least 1 (ns or index)."""
    times = [frame.timestamp_ns for frame in stretch]
    ends = [max(after, before + 1) for before, after in pairwise(times)]
    return [*ends, times[-1] + max(times[-1] - times[-2] if len(times) > 1 else 0, 1)]


def _lasting(frames: Iterable[Frame]) -> Iterator[tuple[DriveTime, float]]:
    """Yield each (drive, timestamp) of frames with a clock, sorted, and the seconds to the next; before a break, the seconds of the previous one."""
    moments = sorted({(frame.drive, frame.timestamp_ns) for frame in frames if frame.clock != "index"})
    before = 0.0
    for moment, following in pairwise([*moments, ("", 0)]):
        seconds = (following[1] - moment[1]) / 1e9
        is_next = following[0] == moment[0] and seconds <= MOST_SECONDS
        yield moment, seconds if is_next else before
        before = seconds if is_next else 0.0
