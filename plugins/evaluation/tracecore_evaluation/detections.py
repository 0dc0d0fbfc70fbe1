"""Evaluated frames, their true boxes, and detected boxes; a box is x, y, width, height in px of the recorded image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZES", "Detections", "Frame", "GroundTruth", "iou_matrix", "size_of"]

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's ranges of object area in px^2."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An evaluated frame.

    Attributes:
        slices: its value by dimension that is sliced by, where known.
        conditions: all that the drive and the labels say of it, by name (time_of_day, region, weather).
        clock: `measured`, or what its drive says of its clock (synthetic, index).
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
    """The true boxes of one frame [n, 4].

    Attributes:
        crowd: whether a box covers many objects, or one that a person could not have labeled: neither found nor missed.
        known_distances: from the vehicle, m, NaN where unknown; empty where none is known.
        known_tracks: the objects' tracks; empty where none is known.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ids: tuple[str, ...]
    known_distances: tuple[float, ...] = ()
    known_tracks: tuple[str | None, ...] = ()

    def distance(self, row: int) -> float | None:
        """Return an object's distance from the vehicle, m; None where unknown."""
        value = self.known_distances[row] if self.known_distances else math.nan
        return None if math.isnan(value) else value

    def track(self, row: int) -> str | None:
        """Return an object's track; None where unknown."""
        return self.known_tracks[row] if self.known_tracks else None

    def take(self, rows: NDArray[np.int64]) -> GroundTruth:
        """Return some of the boxes."""
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
    """A detector's boxes on one frame [n, 4], best score first."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Of the boxes, px^2."""
        return np.asarray(self.boxes[:, 2] * self.boxes[:, 3])

    def above(self, score: float) -> Detections:
        """Return the boxes of at least a score."""
        return self.of(self.scores >= score)

    def of(self, kept: NDArray[np.bool_]) -> Detections:
        """Return some of the boxes."""
        return Detections(self.boxes[kept], self.scores[kept], self.classes[kept])

    def first(self, count: int) -> Detections:
        """Return at most so many of the boxes, the best."""
        return Detections(self.boxes[:count], self.scores[:count], self.classes[:count])


def size_of(area: float) -> str:
    """Return the name of an area's range."""
    return next((name for name, (low, high) in SIZES.items() if low <= area < high), "large")


def iou_matrix(a: NDArray[np.float64], b: NDArray[np.float64], crowd: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the overlap of each box of `a` with each of `b` [n, m]: intersection over union, over the box of `a` only where `b` is a crowd."""
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    right_bottom = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(axis=2)
    of_a, of_b = a[:, 2:].prod(axis=1)[:, None], b[:, 2:].prod(axis=1)[None]
    whole = of_a + of_b - shared
    if crowd is not None:
        whole = np.where(crowd[None], of_a, whole)
    overlap: NDArray[np.float64] = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return overlap
