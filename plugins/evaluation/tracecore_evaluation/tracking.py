"""How well tracks follow objects: which is which on every frame, MOTA and IDF1.

Sources: CLEAR MOT (Bernardin and Stiefelhagen 2008): what was paired on the frame before stays paired while it overlaps enough, the rest is paired by
greatest overlap; MOTA = 1 - (misses + false boxes + switches) / objects. Identity scores (Ristani et al. 2016): IDF1 = 2 IDTP / (objects + boxes),
with IDTP the most boxes that pairing each true track with one track can explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.scene import Truth, iou_matrix
from tracecore_evaluation.tracker import Tracked, assign

__all__ = ["Moment", "Scores", "followed"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame: its true boxes and their tracks, which of them count, and the tracks that follow them.

    Attributes:
        truth: the boxes.
        names: the track of each; None where nobody said.
        relevant: which count; of the others it doesn't matter whether they are seen.
        tracked: what the tracker hands on.
    """

    truth: Truth
    names: tuple[str | None, ...]
    relevant: NDArray[np.bool_]
    tracked: Tracked


@dataclass(slots=True)
class Scores:
    """Counts of one stretch of driving, and what was seen of it.

    Attributes:
        objects: true boxes that count.
        boxes: boxes of tracks that count: those on what doesn't count don't.
        misses: true boxes without a track.
        false_boxes: boxes of tracks on nothing.
        switches: how often another track follows an object than before.
        identical: boxes that the best pairing of tracks explains (IDTP).
        seen: by moment, whether each true box is followed.
        nothing: numbers of tracks that never overlapped anything labeled, with the moments they were there.
    """

    objects: int = 0
    boxes: int = 0
    misses: int = 0
    false_boxes: int = 0
    switches: int = 0
    identical: int = 0
    seen: list[NDArray[np.bool_]] = field(default_factory=list)
    nothing: dict[int, list[int]] = field(default_factory=dict)


NOTHING = 0.1
"""A track that overlaps whatever is labeled by less is on nothing; one that overlaps it by more, but too little to follow it, is merely imprecise."""


def followed(moments: Sequence[Moment], iou: float) -> Scores:
    """Follow the objects of one camera over a stretch of driving.

    Args:
        moments: in order.
        iou: least overlap at which a track of the same class follows an object.
    """
    found = Scores()
    last: dict[str, int] = {}
    explained: dict[tuple[str, int], int] = {}
    touched: set[int] = set()
    there: dict[int, list[int]] = {}
    for place, moment in enumerate(moments):
        allowed = _allowed(moment, iou)
        pairs = _pairs(moment, allowed, last)
        overlaps = iou_matrix(moment.tracked.boxes, moment.truth.boxes, moment.truth.crowd)
        of_row = dict(pairs)
        for row, column in np.argwhere(allowed).tolist():
            name = moment.names[column]
            if name is not None and moment.relevant[column] and (row not in of_row or moment.relevant[of_row[row]]):
                pair = (name, moment.tracked.numbers[row])
                explained[pair] = explained.get(pair, 0) + 1
        seen = np.zeros(len(moment.names), dtype=bool)
        for row, column in pairs:
            number, name = moment.tracked.numbers[row], moment.names[column]
            seen[column] = True
            if not moment.relevant[column] or name is None:
                continue
            found.switches += int(last.get(name, number) != number)
            last[name] = number
        for row, number in enumerate(moment.tracked.numbers):
            there.setdefault(number, []).append(place)
            touched |= {number} if overlaps[row].max(initial=0.0) >= NOTHING else set()
            on_crowd = bool((overlaps[row] * moment.truth.crowd).max(initial=0.0) >= iou)
            found.false_boxes += int(row not in of_row and not on_crowd)
            found.boxes += int(moment.relevant[of_row[row]] if row in of_row else not on_crowd)
        found.objects += int(moment.relevant.sum())
        found.misses += int((moment.relevant & ~seen).sum())
        found.seen.append(seen)
    found.identical = _best(explained)
    found.nothing = {number: places for number, places in sorted(there.items()) if number not in touched}
    return found


def _allowed(moment: Moment, iou: float) -> NDArray[np.bool_]:
    """Say which tracks (rows) overlap which true boxes (columns) of their class enough."""
    tracked, truth = moment.tracked, moment.truth
    same = (tracked.classes[:, None] == truth.classes[None]) & ~truth.crowd[None]
    return np.asarray(same & (iou_matrix(tracked.boxes, truth.boxes) >= iou))


def _pairs(moment: Moment, allowed: NDArray[np.bool_], last: dict[str, int]) -> list[tuple[int, int]]:
    """Pair tracks with true boxes: as on the frame before where that is still allowed, the others by greatest overlap."""
    free = allowed.copy()
    row_of = {number: row for row, number in enumerate(moment.tracked.numbers)}
    kept: list[tuple[int, int]] = []
    for column, name in enumerate(moment.names):
        row = row_of.get(last[name]) if name in last else None
        if row is not None and free[row, column]:
            kept.append((row, column))
            free[row, :] = False
            free[:, column] = False
    return sorted(kept + assign(iou_matrix(moment.tracked.boxes, moment.truth.boxes), free))


def _best(explained: dict[tuple[str, int], int]) -> int:
    from scipy.optimize import linear_sum_assignment

    names, numbers = sorted({name for name, _ in explained}), sorted({number for _, number in explained})
    table = np.zeros((len(names), len(numbers)), dtype=np.int64)
    for (name, number), count in explained.items():
        table[names.index(name), numbers.index(number)] = count
    rows, columns = linear_sum_assignment(table, maximize=True)
    return int(table[rows, columns].sum())
