"""A simple tracker: boxes of single frames become tracks of objects over time, as a perception API hands them on.

Source: SORT (Bewley et al., Simple Online and Realtime Tracking, ICIP 2016, arXiv:1602.00763): boxes are predicted by constant velocity, assigned to
new detections of the same class by greatest overlap (Hungarian method), confirmed after a time of detections and dropped after a time without one. In
place of SORT's Kalman filter each side of the box has an alpha-beta filter (Kalata 1984): two constants instead of covariances. Boxes are widened
before they are compared, as in BIoU (Yang et al., Hard to Track Objects with Irregular Motions and Similar Appearances?, WACV 2023,
arXiv:2211.14317): at a few frames a second what is near does not overlap itself from one frame to the next. Times are in seconds where SORT counts
frames: the same scene gives the same tracks whatever the camera's rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import Detections, iou_matrix

__all__ = ["Tracked", "Tracker", "TrackerSettings", "assign"]

_ALPHA = 0.8  # how much of what a box is off its prediction goes into its place
_SECONDS = 1.0  # over which the velocity is averaged, or over the track's own age while that is less

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How tracks begin and end; all times are in seconds, so that a camera of another rate is tracked alike.

    Attributes:
        iou: least overlap of a detection with a track's predicted box, both widened.
        motion: by how much boxes are widened on each side, of their width and height, for each second since the track was last detected.
        confirm: seconds of detections that confirm a track, counted from its first; unconfirmed ones are not handed on.
        coast: seconds without a detection after which a track ends.
    """

    iou: float
    motion: float
    confirm: float
    coast: float


@dataclass(frozen=True, slots=True)
class Tracked:
    """The confirmed tracks that were detected on one frame: numbers, rows of their detections, boxes [n, 4] in px, classes, scores."""

    numbers: tuple[int, ...]
    rows: tuple[int, ...]
    boxes: Floats
    classes: NDArray[np.int64]
    scores: Floats

    def take(self, rows: NDArray[np.int64]) -> Tracked:
        """Return some of the tracks."""
        numbers, of_detections = (tuple(values[row] for row in rows.tolist()) for values in (self.numbers, self.rows))
        return Tracked(numbers, of_detections, self.boxes[rows], self.classes[rows], self.scores[rows])


@dataclass(slots=True)
class _Track:
    number: int
    class_: int
    box: Floats
    velocity: Floats  # px per second, of x, y, width, height
    detected: float = 0.0  # seconds, from its first detection on
    silent: float = 0.0  # seconds since it was last detected
    score: float = 0.0
    row: int = 0  # of its detection among the frame's

    def predict(self, seconds: float) -> None:
        self.box = self.box + self.velocity * seconds
        self.box[2:] = np.maximum(self.box[2:], 1.0)
        self.silent += seconds

    def update(self, seen: Detections, row: int, seconds: float) -> None:
        off = seen.boxes[row] - self.box
        self.box = self.box + _ALPHA * off
        if self.silent > 0:
            gain = max(1 - math.exp(-self.silent / _SECONDS), self.silent / (self.detected + self.silent))
            self.velocity = self.velocity + gain * off / self.silent
        self.detected, self.silent, self.score, self.row = self.detected + seconds, 0.0, float(seen.scores[row]), row


class Tracker:
    """Tracks the objects of one camera, frame by frame."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._tracks: list[_Track] = []
        self._begun = 0

    def step(self, seen: Detections, seconds: float) -> Tracked:
        """Take the detections of the next frame.

        Args:
            seconds: since the frame before.
        """
        for track in self._tracks:
            track.predict(seconds)
        self._tracks = [track for track in self._tracks if track.silent <= self._settings.coast]
        classes = np.array([track.class_ for track in self._tracks], dtype=np.int64)
        overlaps = self._overlaps(seen)
        taken = assign(overlaps, (classes[:, None] == seen.classes[None]) & (overlaps >= self._settings.iou))
        for row, column in taken:
            self._tracks[row].update(seen, column, seconds)
        shown = [self._tracks[row] for row, _ in taken if self._tracks[row].detected >= self._settings.confirm]
        for column in sorted(set(range(len(seen.scores))) - {column for _, column in taken}):
            class_, score = int(seen.classes[column]), float(seen.scores[column])
            self._tracks.append(_Track(self._begun, class_, seen.boxes[column].copy(), np.zeros(4), score=score, row=column))
            self._begun += 1
            shown += [self._tracks[-1]] if self._settings.confirm <= 0 else []
        return Tracked(
            tuple(track.number for track in shown),
            tuple(track.row for track in shown),
            np.array([track.box for track in shown], dtype=np.float64).reshape(-1, 4),
            np.array([track.class_ for track in shown], dtype=np.int64),
            np.array([track.score for track in shown], dtype=np.float64),
        )

    def _overlaps(self, seen: Detections) -> Floats:
        """Return the overlap of each track's predicted box with each detection, both widened by how far the track may have moved unseen."""
        rows = [
            iou_matrix(_widened(track.box[None], self._settings.motion * track.silent), _widened(seen.boxes, self._settings.motion * track.silent))
            for track in self._tracks
        ]
        return np.concatenate([*rows, np.zeros((0, len(seen.scores)))])


def _widened(boxes: Floats, by: float) -> Floats:
    return np.concatenate([boxes[:, :2] - by * boxes[:, 2:], (1 + 2 * by) * boxes[:, 2:]], axis=1)


def assign(overlaps: Floats, allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pair rows with columns so that there are as many pairs as can be, and of those the sum of overlaps is greatest (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    # A pair is worth more than all overlaps together can be.
    worth: Floats = np.where(allowed, overlaps + 1 + min(overlaps.shape), 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]
