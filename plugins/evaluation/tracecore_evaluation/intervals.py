"""Confidence intervals by drive: what a KPI could have been, had other drives of the same kind been driven.

Frames of one drive are no independent samples, so whole drives are drawn, with replacement, as often as there are drives (cluster bootstrap, Davison
and Hinkley 1997, ch. 3.8), and the interval is that from the 2.5th to the 97.5th percentile of the KPI over many draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_DRIVES", "Measure", "Weights", "bootstrap"]

LEAST_DRIVES = 3
"""Of fewer drives nothing is said: an interval of two would be made up."""

Weights = NDArray[np.int64]
"""How often each drive was drawn."""

Measure = Callable[[Weights], Mapping[str, float | None]]
"""Gives KPIs by name for drives counted as often as the weights say; None where that leaves one undefined."""


def bootstrap(drives: Sequence[str], measure: Measure, *, seed: int, draws: int) -> dict[str, tuple[float, float]]:
    """Give the 95 % interval of each KPI that a measure gives; none where there are fewer than `LEAST_DRIVES` drives.

    Args:
        drives: names, sorted.
        measure: gives the KPIs of weighted drives.
        seed: of the draws.
        draws: how many.
    """
    if len(drives) < LEAST_DRIVES:
        return {}
    drawn = np.random.default_rng(seed).integers(len(drives), size=(draws, len(drives)))
    found: dict[str, list[float]] = {}
    for row in drawn:
        for name, value in measure(np.bincount(row, minlength=len(drives))).items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: _interval(values) for name, values in sorted(found.items())}


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [0.025, 0.975]).tolist()
    return low, high
