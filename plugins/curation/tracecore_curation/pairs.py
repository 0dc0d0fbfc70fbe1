"""Pairs of frames: found in blocks, counted in full, the closest kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_curation.frame_facts import FrameFacts

__all__ = ["FramePair", "Pairs", "Tally", "closest"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Some pairs of frames of two tables: row numbers, and how near they are by two measures (the smaller the nearer)."""

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    near: NDArray[np.float64]
    also: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.a)


@dataclass(frozen=True, slots=True)
class FramePair:
    """One pair by the frames' refs, with what is between them in words."""

    a: str
    b: str
    apart: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many pairs there are, how many frames of either table are in one, and the closest of them in order."""

    count: int
    frames_a: int
    frames_b: int
    nearest: Pairs


def closest(blocks: Iterator[Pairs], a: FrameFacts, b: FrameFacts, keep: int) -> Tally:
    """Count pairs that come in blocks and keep the nearest, ties in order of their refs' rows: the same answer however the blocks are cut."""
    count = 0
    in_a, in_b = np.zeros(len(a), dtype=bool), np.zeros(len(b), dtype=bool)
    best = Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty(0))
    for block in blocks:
        count += len(block)
        in_a[block.a] = True
        in_b[block.b] = True
        merged = Pairs(*(np.concatenate([getattr(best, name), getattr(block, name)]) for name in ("a", "b", "near", "also")))
        order = np.lexsort((merged.b, merged.a, merged.also, merged.near))[:keep]
        best = Pairs(merged.a[order], merged.b[order], merged.near[order], merged.also[order])
    return Tally(count, int(in_a.sum()), int(in_b.sum()), best)
