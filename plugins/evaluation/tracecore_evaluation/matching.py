"""Which detections hit and which objects are missed, at one score and one overlap: what precision, recall and events stand on.

Source: COCO's matching (Lin et al. 2014, pycocotools `evaluateImg`): in order of score each detection takes the free object of its class that it
overlaps most, if by enough; what then lies on a crowd is neither right nor wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.scene import Seen, Truth, iou_matrix

__all__ = ["Match", "match"]


@dataclass(frozen=True, slots=True)
class Match:
    """The outcome on one frame.

    Attributes:
        hit: per detection, the row of the object it takes, -1 for a false positive, -2 where it is on a crowd.
        found: per object, whether a detection took it; never for a crowd.
        overlap_seen: per detection, its greatest overlap with any object of any class.
        overlap_true: per object, its greatest overlap with any detection of any class.
        overlap_other: of each detection with each object of another class; 0 for objects of its own class, and crowds.
    """

    hit: NDArray[np.int64]
    found: NDArray[np.bool_]
    overlap_seen: NDArray[np.float64]
    overlap_true: NDArray[np.float64]
    overlap_other: NDArray[np.float64]

    def other_class(self, row: int, iou: float) -> int | None:
        """Give the object of another class that a false positive was put on: the one it overlaps most, missed ones first; None without any.

        Args:
            row: of the detection.
            iou: least overlap.
        """
        near = np.flatnonzero(self.overlap_other[row] >= iou).tolist()
        return min(near, key=lambda column: (bool(self.found[column]), -self.overlap_other[row, column], column)) if near else None


def match(seen: Seen, truth: Truth, iou: float) -> Match:
    """Match detections, best first, with true objects.

    Args:
        seen: detections of one frame that count.
        truth: its true objects.
        iou: least overlap of a hit.
    """
    overlaps = iou_matrix(seen.boxes, truth.boxes, truth.crowd)
    hit = np.full(len(seen.scores), -1, dtype=np.int64)
    found = np.zeros(len(truth.classes), dtype=bool)
    for row in np.argsort(-seen.scores, kind="stable"):
        same = truth.classes == seen.classes[row]
        free = np.flatnonzero(same & ~truth.crowd & ~found & (overlaps[row] >= iou))
        if len(free):
            best = free[np.argmax(overlaps[row, free])]
            hit[row], found[best] = best, True
        elif (same & truth.crowd & (overlaps[row] >= iou)).any():
            hit[row] = -2
    other = np.where((seen.classes[:, None] != truth.classes[None]) & ~truth.crowd[None], overlaps, 0.0)
    return Match(hit, found, overlaps.max(axis=1, initial=0.0), overlaps.max(axis=0, initial=0.0), other)
