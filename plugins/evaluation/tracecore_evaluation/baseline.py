"""The trivial baseline: on every frame each class's mean box of the labels of other frames.

Its score is the share of those frames that hold the class. It has learned where objects tend to be and has never looked at a picture: a detector
that is not clearly above it has learned nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracecore_evaluation.scene import Frame, Seen
from tracecore_evaluation.truth import MeanBox

__all__ = ["BASELINE", "mean_boxes"]

BASELINE = (
    "What is said without looking. On every frame each class's mean box over the {frames} labeled frames that are not evaluated, scored by the share "
    "of those frames that hold the class; a path straight ahead; the state of the light most frequent on those frames."
)


def mean_boxes(frames: Sequence[Frame], boxes: Sequence[MeanBox | None]) -> dict[str, Seen]:
    """Give the baseline's detections by frame ref.

    Args:
        frames: the evaluated frames.
        boxes: by class index.
    """
    known = sorted(((box.share, class_, box.box) for class_, box in enumerate(boxes) if box is not None), key=lambda entry: (-entry[0], entry[1]))
    shares = np.array([box for _, _, box in known], dtype=np.float64).reshape(-1, 4)
    scores = np.array([share for share, _, _ in known], dtype=np.float64)
    classes = np.array([class_ for _, class_, _ in known], dtype=np.int64)
    return {frame.id: Seen(shares * np.array([frame.width, frame.height] * 2), scores, classes) for frame in frames}
