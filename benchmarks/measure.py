"""Measuring against a baseline in the same run: on a busy machine only the ratio means anything."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measurement.

    Attributes:
        name: what was measured.
        amount: how much of it, in words.
        baseline: what it was measured against.
        seconds: median of ours.
        baseline_seconds: median of the baseline.
        bound: the ratio that we mean to stay under; above it something has become slow that was not.
    """

    name: str
    amount: str
    baseline: str
    seconds: float
    baseline_seconds: float
    bound: float

    @property
    def ratio(self) -> float:
        """How many times the baseline's time ours takes."""
        return self.seconds / self.baseline_seconds

    @property
    def within(self) -> bool:
        """Whether the ratio keeps its bound."""
        return self.ratio <= self.bound


def compare(
    name: str, amount: str, baseline: str, ours: Callable[[], object], theirs: Callable[[], object], *, bound: float, times: int
) -> Comparison:
    """Run both in turn, so that a slow moment of the machine hits both, and take medians.

    Args:
        name: what is measured.
        amount: how much of it.
        baseline: what it is measured against.
        ours: one run of ours.
        theirs: one run of the baseline, doing the part of the work that can't be saved.
        bound: the ratio to stay under.
        times: how often each is run.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for seconds, work in zip(found, (ours, theirs), strict=True):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return Comparison(name, amount, baseline, statistics.median(found[0]), statistics.median(found[1]), bound)
