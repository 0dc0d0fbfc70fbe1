"""Confidence intervals: what a KPI could have been on other drives of the same kind, or on other times of the same drives.

Frames of one drive are not independent samples, so the units are whole drives; of fewer than `LEAST_DRIVES` they are blocks of 10 s of driving, and
the interval then covers what these drives could have shown, not what other drives would. The interval is the KPI plus or minus Student's t (units - 1
degrees of freedom) times the jackknife's standard error, each unit left out once, on a logarithmic scale where the figure has one (Efron and Stein
1981; for few clusters see MacKinnon, Nielsen and Webb, Fast and reliable jackknife and bootstrap methods for cluster-robust inference, 2023).
Percentiles of a bootstrap by unit, the usual way, cover 73 % at 3 units where 95 % is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tracecore as tc
from tracecore_evaluation.detections import Frame
from tracecore_evaluation.driving_time import BY_INDEX
from tracecore_evaluation.kpi_specs import kpi_of

__all__ = ["BY_DRIVE", "LEAST_DRIVES", "LEAST_UNITS", "LEVEL", "Measure", "Units", "Weights", "gains", "intervals", "units_of"]

BY_DRIVE = "drive"
LEVEL = 0.95
LEAST_DRIVES = 5
"""Of fewer drives the units are blocks of time."""

LEAST_UNITS = 3
"""Of fewer units nothing is said."""

_BLOCK_SECONDS = 10
_EQUAL = 1e-12

Scale = Callable[[Any], Any]

Weights = NDArray[np.int64]
"""How often each unit counts."""

Measure = Callable[[Weights], Mapping[str, float | None]]
"""Gives KPIs by name for units counted as often as the weights say; None where that leaves one undefined."""


@dataclass(frozen=True, slots=True)
class Units:
    """The units that intervals are made from.

    Attributes:
        by: what they are: `drive`, `10 s blocks`, or `20-frame blocks` where there is no clock.
        of: number of the unit of each moment, a drive and a timestamp.
        count: how many there are.
    """

    by: str
    of: Mapping[tuple[str, int], int]
    count: int

    def number(self, frame: Frame) -> int:
        """Return the number of a frame's unit."""
        return self.of[frame.drive, frame.timestamp_ns]

    @property
    def known(self) -> bool:
        """Whether there are enough for an interval."""
        return self.count >= LEAST_UNITS


def units_of(frames: Sequence[Frame]) -> Units:
    """Return the units of frames: drives, or blocks of each drive's time where there are fewer than `LEAST_DRIVES`."""
    begins: dict[str, int] = {}
    for frame in frames:
        begins[frame.drive] = min(begins.get(frame.drive, frame.timestamp_ns), frame.timestamp_ns)
    by_drive = len(begins) >= LEAST_DRIVES
    keys = {(frame.drive, frame.timestamp_ns): (frame.drive, 0 if by_drive else _block(frame, begins[frame.drive])) for frame in frames}
    numbers = {key: number for number, key in enumerate(sorted(set(keys.values())))}
    blocks = {_in_frames() if frame.clock == "index" else f"{_BLOCK_SECONDS} s blocks" for frame in frames}
    return Units(BY_DRIVE if by_drive else " and ".join(sorted(blocks)), {moment: numbers[key] for moment, key in keys.items()}, len(numbers))


def _block(frame: Frame, begin: int) -> int:
    since = frame.timestamp_ns - begin
    return int(since * BY_INDEX // _BLOCK_SECONDS) if frame.clock == "index" else since // (_BLOCK_SECONDS * 10**9)


def _in_frames() -> str:
    return f"{_BLOCK_SECONDS / BY_INDEX:g}-frame blocks"


def intervals(measure: Measure, units: Units, hours: Mapping[str, float] | None = None) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each KPI that a measure gives; none of a KPI of which fewer than `LEAST_UNITS` units have something to count.

    Args:
        hours: of KPIs that are counts by hour: of how many hours. Their interval is never narrower than that of independent events (Garwood 1936).
    """
    if not units.known:
        return {}
    clocked = hours or {}
    return {name: _interval(kpi_of(name), value, others, count, clocked.get(name)) for name, value, others, count in _left_out(measure, units)}


def gains(measure: Measure, baseline: Measure, units: Units, hours: Mapping[str, float] | None = None) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of how much less than the baseline's each error and rate is, both on the same units: above 0 where it is better.

    An error or a rate has the scale of its drives, and the baseline's has it too: how far a road bends, how much is on it. 5,000 to 9,000 mistakes an
    hour and a baseline of 8,000 say little side by side, and that it is a quarter less on every drive says much. A share has a scale of its own.

    Args:
        hours: as for `intervals`: by fewer mistakes than chance would leave out, nothing is better.
    """

    def gained(weights: Weights) -> dict[str, float | None]:
        trivial = baseline(weights)
        return {name: _less(value, trivial.get(name)) for name, value in measure(weights).items() if kpi_of(name).less_is_better}

    if not units.known:
        return {}
    unbounded = tc.KpiSpec("gain", "How much better than the baseline.", least=-np.inf, most=np.inf)
    clocked = hours or {}
    return {
        name: _interval(unbounded, value, others, count, clocked.get(name) if value > 0 else None)
        for name, value, others, count in _left_out(gained, units)
    }


def _less(value: float | None, trivial: float | None) -> float | None:
    return None if value is None or trivial is None else trivial - value


def _left_out(measure: Measure, units: Units) -> Iterator[tuple[str, float, NDArray[np.float64], int]]:
    """Return each KPI of which enough units have something to count: name, value, values without each unit, and how many units those are."""
    every = np.ones(units.count, dtype=np.int64)
    without: dict[str, list[float]] = {}
    telling: Counter[str] = Counter()
    for unit in range(units.count):
        alone = np.zeros(units.count, dtype=np.int64)
        alone[unit] = 1
        telling.update(name for name, value in measure(alone).items() if value is not None)
        for name, value in measure(every - alone).items():
            if value is not None:
                without.setdefault(name, []).append(value)
    for name, value in sorted(measure(every).items()):
        if value is not None and telling[name] >= LEAST_UNITS:
            yield name, value, np.array(without[name]), telling[name]


def _interval(figure: tc.KpiSpec, value: float, others: NDArray[np.float64], count: int, hours: float | None) -> tuple[float, float]:
    """Return the interval of a KPI.

    Args:
        others: without each of them.
        count: of units that have something to count: where there is nothing, leaving the unit out shows nothing of how units differ.
    """
    from scipy import stats

    to, back = _scale(figure, np.append(others, value))
    spread = to(others) - to(others).mean()
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * float(np.sqrt((count - 1) / count * (spread**2).sum()))
    low, high = (float(back(to(np.float64(value)) + by)) for by in (-reach, reach))
    if hours:
        events = round(value * hours)
        fewest = float(stats.chi2.ppf((1 - LEVEL) / 2, 2 * events)) / 2 if events else 0.0
        low, high = min(low, fewest / hours), max(high, float(stats.chi2.ppf((1 + LEVEL) / 2, 2 * events + 2)) / 2 / hours)
    elif reach < _EQUAL and np.isfinite(figure.most):
        # Units that are all alike say no more than this: at most this share of all units is not (Clopper and Pearson 1934).
        unlike = 1 - ((1 - LEVEL) / 2) ** (1 / count)
        low, high = value - unlike * max(value - max(figure.least, 0.0), 0.0), value + unlike * (figure.most - value)
    return max(low, figure.least), min(high, figure.most)


def _scale(figure: tc.KpiSpec, values: NDArray[np.float64]) -> tuple[Scale, Scale]:
    """Return the scale on which a figure's errors are even on both sides, and the way back: log odds of shares, logarithm of errors and rates."""
    if figure.least == 0 and figure.most == 1 and ((values > 0) & (values < 1)).all():
        return (lambda share: np.log(share / (1 - share))), (lambda odds: 1 / (1 + np.exp(-odds)))
    if figure.least == 0 and np.isinf(figure.most) and (values > 0).all():
        return np.log, np.exp
    return (lambda value: value), (lambda value: value)
