"""The same time and place: frames of two drives that were near each other, where clock and position of both were measured.

Places are compared by the straight line between points on the sphere of mean Earth radius, which for the distances asked about is the way on the
ground (an error of GNSS is larger than that of the sphere).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tracecore_curation.frame_facts import FrameFacts, Pairs

__all__ = ["METERS", "SECONDS", "neighbors", "unmeasured"]

SECONDS = 60.0
"""Two frames within this much of each other are of the same time, by default."""

METERS = 50.0
"""Two frames within this much of each other are of the same place, by default."""

_EARTH_M = 6_371_008.8  # IUGG mean radius
_BLOCK = 512
# Odd 64-bit multipliers mix a cell's four numbers into one key; two cells with one key only cost a comparison.
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64)


def unmeasured(*tables: FrameFacts) -> str | None:
    """Say in one sentence what keeps time and place from being compared, or None where everything was measured."""
    frames = sum(len(table) for table in tables)
    untimed = sum(int((~table.timed).sum()) for table in tables)
    unplaced = sum(int((~table.placed).sum()) for table in tables)
    if not untimed and not unplaced:
        return None
    clocks = sorted({clock for table in tables for clock in table.clocks[~table.timed].tolist()})
    said = []
    if untimed:
        said.append(f"{untimed} of {frames} frames have no measured clock ({', '.join(clocks)})")
    if unplaced:
        said.append(f"{unplaced} of {frames} have no measured position")
    return f"{' and '.join(said)}, so whether drives met at the same time and place could not be assessed for them."


def neighbors(a: FrameFacts, b: FrameFacts, *, seconds: float, meters: float) -> Iterator[Pairs]:
    """Find the pairs of frames of two different drives that are at the same time and place; frames without a measured clock and position are in none.

    Yields:
        Blocks of pairs: `near` is the time between them in s, `also` the distance in m.
    """
    rows_a, rows_b = (np.flatnonzero(facts.timed & facts.placed) for facts in (a, b))
    if not len(rows_a) or not len(rows_b):
        return
    points_a, points_b = _points(a.places[rows_a]), _points(b.places[rows_b])
    cells_a, cells_b = (
        np.concatenate([facts.times[rows, None] // int(seconds * 1e9 + 0.5), np.floor(points / meters).astype(np.int64)], axis=1)
        for facts, rows, points in ((a, rows_a, points_a), (b, rows_b, points_b))
    )
    keys_b = _keys(cells_b)
    order = np.argsort(keys_b, kind="stable")
    sorted_b = keys_b[order]
    for start in range(0, len(rows_a), _BLOCK):
        found_i, found_j = [], []
        # Whatever lies within one cell's size lies in a neighboring cell: 3^4 of them.
        for offset in product((-1, 0, 1), repeat=4):
            cells = cells_a[start : start + _BLOCK] + np.array(offset)
            keys = _keys(cells)
            first, last = np.searchsorted(sorted_b, keys, "left"), np.searchsorted(sorted_b, keys, "right")
            counts = last - first
            if counts.any():
                i = np.repeat(np.arange(len(keys)), counts)
                within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
                j = order[np.repeat(first, counts) + within]
                # Two cells may share a key: only what lies in this very cell, so that each pair comes once.
                same = (cells[i] == cells_b[j]).all(axis=1)
                found_i.append(i[same] + start)
                found_j.append(j[same])
        if not found_i:
            continue
        i, j = np.concatenate(found_i), np.concatenate(found_j)
        apart_s = np.abs(a.times[rows_a[i]] - b.times[rows_b[j]]) / 1e9
        apart_m = np.linalg.norm(points_a[i] - points_b[j], axis=1)
        kept = (apart_s <= seconds) & (apart_m <= meters) & (a.drives[rows_a[i]] != b.drives[rows_b[j]])
        if kept.any():
            yield Pairs(rows_a[i[kept]], rows_b[j[kept]], apart_s[kept], apart_m[kept])


def _points(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points in m [n, 3] of degrees north and east [n, 2]."""
    north, east = np.radians(places[:, 0]), np.radians(places[:, 1])
    return _EARTH_M * np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)


def _keys(cells: NDArray[np.int64]) -> NDArray[np.uint64]:
    mixed: NDArray[np.uint64] = (cells.astype(np.uint64) * _MIX).sum(axis=1, dtype=np.uint64)
    return mixed
