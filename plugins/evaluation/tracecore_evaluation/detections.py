"""Evaluated frames, their true boxes, and detected boxes. A box is x, y, width, height in px of the recorded image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_DETECTIONS", "SIDES", "SIZES", "Detections", "Frame", "GroundTruth", "boxes_of", "iou_matrix", "size_of"]

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's ranges of object area, px^2: lower bound inclusive, upper exclusive."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An evaluated frame.

    Attributes:
        slices: value for each dimension that is sliced by, where known.
        conditions: conditions from the drive and the labels, by name (time_of_day, region, weather).
        clock: `measured`, `synthetic`, or `index` if `timestamp_ns` only numbers the frames.
    """

    id: str
    drive: str
    sensor: str
    timestamp_ns: int
    width: int
    height: int
    slices: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    clock: str = "measured"


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The n true boxes of one frame; `boxes` is [n, 4], areas are in px^2.

    Attributes:
        crowd: whether a box covers many objects, or one that a person could not have labeled; it counts neither as found nor as missed.
        known_distances: distance from the vehicle, m, NaN where unknown; empty if all are unknown.
        known_tracks: track of each object, None where unknown; empty if all are unknown.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ids: tuple[str, ...]
    known_distances: tuple[float, ...] = ()
    known_tracks: tuple[str | None, ...] = ()

    def distance(self, row: int) -> float | None:
        """Return the distance from the vehicle, in m, of the object with row index `row` among the true boxes; None if it is not known."""
        value = self.known_distances[row] if self.known_distances else math.nan
        return None if math.isnan(value) else value

    def track(self, row: int) -> str | None:
        """Return the track id of the object with row index `row` among the true boxes; None if its label has none."""
        return self.known_tracks[row] if self.known_tracks else None

    def take(self, rows: NDArray[np.int64]) -> GroundTruth:
        """Return the ground truth of only the boxes at the given row indices."""
        chosen = rows.tolist()
        return GroundTruth(
            self.boxes[rows],
            self.classes[rows],
            self.areas[rows],
            self.crowd[rows],
            tuple(self.ids[row] for row in chosen),
            tuple(self.known_distances[row] for row in chosen if self.known_distances),
            tuple(self.known_tracks[row] for row in chosen if self.known_tracks),
        )


@dataclass(frozen=True, slots=True)
class Detections:
    """The n detections on one frame, by descending score; `boxes` is [n, 4]."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Areas of the detected boxes in px^2, [n]."""
        return np.asarray(self.boxes[:, 2] * self.boxes[:, 3])

    def above(self, score: float) -> Detections:
        """Return the detections that score at least `score`."""
        return self.where(self.scores >= score)

    def where(self, kept: NDArray[np.bool_] | slice) -> Detections:
        """Return the detections selected by a mask [n] or a slice of rows."""
        return Detections(self.boxes[kept], self.scores[kept], self.classes[kept])


NO_DETECTIONS = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))
SIDES = ("x", "y", "width", "height")
"""Columns of a box in the tables, in the order of a row of `boxes`."""


def boxes_of(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return the boxes (x, y, width, height) of n table rows as an array [n, 4]."""
    return np.array([[row[side] for side in SIDES] for row in rows], dtype=np.float64).reshape(-1, 4)


def size_of(area: float) -> str:
    """Return the name of COCO's size range (small, medium, large) for an area in px^2."""
    return next((name for name, (low, high) in SIZES.items() if low <= area < high), "large")


def iou_matrix(a: NDArray[np.float64], b: NDArray[np.float64], crowd: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the IoU of each box of `a` with each of `b`, [n, m]; where `crowd` marks the box of `b`, intersection / area of the box of `a`."""
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    right_bottom = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(axis=2)
    of_a, of_b = a[:, 2:].prod(axis=1)[:, None], b[:, 2:].prod(axis=1)[None]
    whole = of_a + of_b - shared
    if crowd is not None:
        whole = np.where(crowd[None], of_a, whole)
    overlap: NDArray[np.float64] = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return overlap
