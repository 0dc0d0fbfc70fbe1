"""A simple tracker that turns boxes of single frames into tracks over time.

Source: SORT (Bewley et al., Simple Online and Realtime Tracking, ICIP 2016, arXiv:1602.00763): boxes are predicted at constant velocity, assigned to
new detections of the same class by greatest overlap (Hungarian method), confirmed after a time of detections and dropped after a time without one.
Differences: an alpha-beta filter (Kalata 1984) per box coordinate replaces the Kalman filter, which needs two constants instead of covariances; boxes
are enlarged before they are compared, as in BIoU (Yang et al., Hard to Track Objects with Irregular Motions and Similar Appearances?, WACV 2023,
arXiv:2211.14317), since near objects may not overlap themselves at a few frames per second; times are in seconds, not frames, so that tracks do not
depend on the frame rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import Detections, iou_matrix

__all__ = ["Tracked", "Tracker", "TrackerSettings", "assign"]

_ALPHA = 0.8  # share of the prediction error that corrects the box's position
_SECONDS = 1.0  # time over which the velocity is averaged; less for younger tracks

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How tracks begin and end. All times are in seconds, so that results do not depend on the frame rate.

    Attributes:
        iou: least overlap of a detection with a track's predicted box, both enlarged.
        motion: enlargement of boxes on each side, as a share of their width and height, per second since the track's last detection.
        confirm: seconds of detections, from the first one, after which a track is confirmed and output.
        coast: seconds without a detection after which a track ends.
    """

    iou: float
    motion: float
    confirm: float
    coast: float


@dataclass(frozen=True, slots=True)
class Tracked:
    """The confirmed tracks detected on one frame; `rows` are the indices of their detections, `boxes` is [n, 4] in px."""

    numbers: tuple[int, ...]
    rows: tuple[int, ...]
    boxes: Floats
    classes: NDArray[np.int64]
    scores: Floats

    def take(self, rows: NDArray[np.int64]) -> Tracked:
        """Return a copy with only the tracks at the given row indices."""
        numbers, of_detections = (tuple(values[row] for row in rows.tolist()) for values in (self.numbers, self.rows))
        return Tracked(numbers, of_detections, self.boxes[rows], self.classes[rows], self.scores[rows])


@dataclass(slots=True)
class _Track:
    number: int
    class_: int
    box: Floats
    velocity: Floats  # px per second, of x, y, width, height
    detected: float = 0.0  # seconds from the first detection to the last
    silent: float = 0.0  # seconds since it was last detected
    score: float = 0.0
    row: int = 0  # index of its detection on the last frame it was detected on

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
    """Multi-object tracker of one camera; call `step` for each frame in order."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._tracks: list[_Track] = []
        self._begun = 0

    def step(self, seen: Detections, seconds: float) -> Tracked:
        """Update the tracks with the detections of the next frame, `seconds` later, and return the confirmed tracks that were detected on it."""
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
        """Return the IoU [tracks, detections] of predicted with detected boxes, enlarged by the possible motion since the track's last detection."""
        rows = [
            iou_matrix(_widened(track.box[None], self._settings.motion * track.silent), _widened(seen.boxes, self._settings.motion * track.silent))
            for track in self._tracks
        ]
        return np.concatenate([*rows, np.zeros((0, len(seen.scores)))])


def _widened(boxes: Floats, by: float) -> Floats:
    return np.concatenate([boxes[:, :2] - by * boxes[:, 2:], (1 + 2 * by) * boxes[:, 2:]], axis=1)


def assign(overlaps: Floats, allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (row, column) pairs: as many allowed ones as possible, and among these the greatest sum of overlaps (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    # One more pair outweighs the sum of all overlaps.
    worth: Floats = np.where(allowed, overlaps + 1 + min(overlaps.shape), 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]
