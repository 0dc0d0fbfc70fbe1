"""Find frames of two drives at the same time and place; only frames with a measured clock and position are compared.

Distances are straight lines on a sphere of mean Earth radius, which is more exact than GNSS.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tracecore_curation.frame_facts import FrameFacts, Pairs

__all__ = ["neighbors", "unmeasured"]

_EARTH_M = 6_371_008.8  # IUGG mean radius
_BLOCK = 512
_MARGIN = 1e-6  # of the search box, for rounding; pairs in the box are compared exactly


def unmeasured(*tables: FrameFacts) -> str | None:
    """Return a sentence on how many frames lack a measured clock or position, so that they can't be compared; None if no frame does."""
    frames = sum(len(table) for table in tables)
    untimed = sum(int((~table.timed).sum()) for table in tables)
    unplaced = sum(int((~table.placed).sum()) for table in tables)
    if not untimed and not unplaced:
        return None
    clocks = sorted({clock for table in tables for clock in table.clocks[~table.timed].tolist()})
    reasons = []
    if untimed:
        reasons.append(f"{untimed} of {frames} frames have no measured clock ({', '.join(clocks)})")
    if unplaced:
        reasons.append(f"{unplaced} of {frames} have no measured position")
    return f"{' and '.join(reasons)}, so whether drives met at the same time and place could not be assessed for them."


def neighbors(a: FrameFacts, b: FrameFacts, *, seconds: float, meters: float) -> Iterator[Pairs]:
    """Yield the pairs of a frame of `a` and a frame of another drive in `b` that are at most `seconds` apart and at most `meters` apart.

    Each item has the pairs of one block of frames of `a`, with distances `near` (s) and `also` (m). Frames without clock or position are skipped.
    """
    from scipy.spatial import cKDTree

    rows_a, rows_b = (np.flatnonzero(facts.timed & facts.placed) for facts in (a, b))
    if not len(rows_a) or not len(rows_b):
        return
    points_a, points_b = _points(a.places[rows_a]), _points(b.places[rows_b])
    first = min(int(a.times[rows_a].min()), int(b.times[rows_b].min()))
    # Points in space and time, scaled so that pairs lie in a cube: `p=inf` finds a superset of them.
    spots_a, spots_b = (
        np.column_stack([points / meters, (facts.times[rows] - first) / (seconds * 1e9)])
        for facts, rows, points in ((a, rows_a, points_a), (b, rows_b, points_b))
    )
    tree = cKDTree(spots_b)
    for start in range(0, len(rows_a), _BLOCK):
        found = tree.query_ball_point(spots_a[start : start + _BLOCK], 1 + _MARGIN, p=np.inf)
        i = np.repeat(np.arange(start, start + len(found)), [len(each) for each in found])
        j = np.fromiter((row for each in found for row in each), np.intp, len(i))
        apart_s = np.abs(a.times[rows_a[i]] - b.times[rows_b[j]]) / 1e9
        apart_m = np.linalg.norm(points_a[i] - points_b[j], axis=1)
        kept = (apart_s <= seconds) & (apart_m <= meters) & (a.drives[rows_a[i]] != b.drives[rows_b[j]])
        if kept.any():
            yield Pairs(rows_a[i[kept]], rows_b[j[kept]], apart_s[kept], apart_m[kept])


def _points(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Earth-centered x, y, z in m on a sphere, (n, 3), of places in degrees north and east, (n, 2)."""
    north, east = np.radians(places[:, 0]), np.radians(places[:, 1])
    return _EARTH_M * np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
