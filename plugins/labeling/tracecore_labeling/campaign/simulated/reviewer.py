"""A simulated reviewer: compares labels with the truth, notices most of what is wrong, and puts it right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tracecore_labeling.campaign.label import Label

__all__ = ["overlap", "reviewed"]

_SAME_OBJECT = 0.3  # overlap from which two boxes are of one object
_GOOD_BOX = 0.7  # overlap below which a reviewer draws the box again
_GOOD_PATH_M = 0.5
_TOO_MANY = 0.5  # share of mistakes from which the whole task goes back
_FEW = 3  # labels: of so few, half wrong is no careless work


def reviewed(
    labels: Mapping[str, Label], truth: Sequence[Label], care: float, rng: np.random.Generator
) -> tuple[str, list[tuple[str | None, Label]]]:
    """Judge what was submitted.

    Args:
        labels: as submitted, by label id.
        truth: of the frame.
        care: share of the mistakes that are noticed.
        rng: decides which.

    Returns:
        The verdict (accepted, corrected, rejected), and of a correction all labels as they are to be.
    """
    left = list(truth)
    after: list[tuple[str | None, Label]] = []
    noticed = 0
    for id_, label in labels.items():
        true = _best(label, left)
        if true is not None:
            left.remove(true)
        right = true is not None and _agrees(label, true)
        if right or rng.random() >= care:
            after.append((id_, label))
            continue
        noticed += 1
        if true is not None:
            after.append((id_, true))
    for true in left:
        if rng.random() < care:
            noticed += 1
            after.append((None, true))
    if not noticed:
        return "accepted", []
    if len(labels) > _FEW and noticed > _TOO_MANY * max(len(labels), len(truth)):
        return "rejected", []
    return "corrected", after


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Give the intersection over union of two boxes x, y, width, height."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (a[2] * a[3] + b[2] * b[3] - wide * high)


def _best(label: Label, truth: Sequence[Label]) -> Label | None:
    """Find what a label is of: the object of its track, else the box that it overlaps most, else the one statement of its sort."""
    same = [each for each in truth if each.geometry == label.geometry]
    if label.geometry in {"path", "tag"}:
        return next((each for each in same if each.category == label.category), None)
    if label.track is not None:
        return next((each for each in same if each.track == label.track), None)
    if label.box is None:
        return None
    scored = [(overlap(label.box, each.box), place) for place, each in enumerate(same) if each.box is not None]
    best, place = max(scored, default=(0.0, 0))
    return same[place] if best >= _SAME_OBJECT else None


def _agrees(label: Label, true: Label) -> bool:
    if (label.category, label.value, label.ignore) != (true.category, true.value, true.ignore):
        return False
    if label.box is not None and true.box is not None:
        return overlap(label.box, true.box) >= _GOOD_BOX
    if label.path is not None and true.path is not None:
        return bool(np.abs(np.subtract(label.path, true.path)).max() <= _GOOD_PATH_M)
    if label.cuboid is not None and true.cuboid is not None:
        a, b = np.array(label.cuboid), np.array(true.cuboid)
        return bool((np.abs(a[:3] - b[:3]) <= 0.25 * b[7:10]).all())
    return True
