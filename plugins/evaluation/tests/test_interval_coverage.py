"""The 95 % of an interval are 95 %: made populations of drives, of which the true value is known, drawn again and again."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tracecore_evaluation.detections import Frame
from tracecore_evaluation.intervals import LEVEL, Measure, Units, gains, intervals, units_of

DRAWS = 400
LEAST = LEVEL - 2.58 * math.sqrt(LEVEL * (1 - LEVEL) / DRAWS)
"""Of so many draws, the share of intervals that hold the true value is below this by chance once in 200 times."""

Population = Callable[[np.random.Generator, int], tuple[str, Measure, float, float | None]]


def recall(rng: np.random.Generator, drives: int) -> tuple[str, Measure, float, float | None]:
    """Drives of 20 to 120 objects; on the mean two of three are found, on some drives few, on some almost all."""
    objects = rng.integers(20, 120, drives)
    found = rng.binomial(objects, rng.beta(8, 4, drives))
    return "recall.car", lambda weights: {"recall.car": float(weights @ found / (weights @ objects))}, 2 / 3, None


def mistakes(rng: np.random.Generator, drives: int) -> tuple[str, Measure, float, float | None]:
    """Drives of 1 to 5 minutes with 20 mistakes an hour, so that many have none."""
    hours = rng.uniform(0.02, 0.08, drives)
    counts = rng.poisson(rng.gamma(2, 10, drives) * hours)
    name = "mistakes_per_hour.total"
    return name, lambda weights: {name: float(weights @ counts / (weights @ hours))}, 20.0, float(hours.sum())


def path(rng: np.random.Generator, drives: int) -> tuple[str, Measure, float, float | None]:
    """Paths 0.4 m off, on some drives several times as far."""
    sums = rng.lognormal(-1, 0.4, drives) * rng.gamma(2 * 30, 0.5 / 30, drives)
    return "path_error.mean", mean_of("path_error.mean", sums), math.exp(-1 + 0.08), None


def sparse(rng: np.random.Generator, drives: int) -> tuple[str, Measure, float, float | None]:
    """Of five drives three hold no such object, and on the others nearly all are found."""
    objects = rng.integers(20, 120, drives) * (np.arange(drives) % 5 < 2)
    found = rng.binomial(objects, rng.beta(57, 3, drives))
    return "recall.car", lambda weights: {"recall.car": float(weights @ found / (weights @ objects)) if weights @ objects else None}, 0.95, None


@pytest.mark.parametrize("drives", [10, 20])
def test_drives_without_an_object_make_no_interval_narrower(drives: int) -> None:
    rng = np.random.default_rng(drives)
    held = 0
    for _ in range(DRAWS):
        name, measure, true, _ = sparse(rng, drives)
        low, high = intervals(measure, Units("drive", {}, drives)).get(name, (0.0, 1.0))
        held += low <= true <= high
    assert held / DRAWS >= LEAST


@pytest.mark.parametrize("drives", [3, 5, 10, 20])
@pytest.mark.parametrize("population", [recall, mistakes, path])
def test_an_interval_by_drive_reaches_its_level(population: Population, drives: int) -> None:
    rng = np.random.default_rng(drives)
    held = 0
    for _ in range(DRAWS):
        name, measure, true, hours = population(rng, drives)
        low, high = intervals(measure, Units("drive", {}, drives), None if hours is None else {name: hours})[name]
        held += low <= true <= high
    assert held / DRAWS >= LEAST


@pytest.mark.parametrize("drives", [3, 5, 10, 20])
def test_how_much_better_is_seldom_said_too_high_and_seen_more_often_than_side_by_side(drives: int) -> None:
    """Drives that are hard for the model are as hard for the baseline, which is half as far off again. It is the lower end that gates read."""
    rng = np.random.default_rng(drives)
    units, name, every = Units("drive", {}, drives), "path_error.mean", np.ones(drives, dtype=np.int64)
    too_high, seen, side_by_side = 0, 0, 0
    for _ in range(DRAWS):
        hard = rng.lognormal(-1, 0.4, drives)
        ours, trivial = (mean_of(name, hard * factor * rng.lognormal(-0.005, 0.1, drives)) for factor in (1.0, 1.5))
        low, _ = gains(ours, trivial, units)[name]
        too_high += low > 0.5 * math.exp(-1 + 0.08)
        seen += low > 0
        side_by_side += intervals(ours, units)[name][1] < (trivial(every)[name] or 0)
    assert too_high / DRAWS <= (1 - LEAST) / 2
    assert seen > 2 * side_by_side or seen == DRAWS


def mean_of(name: str, values: np.ndarray) -> Measure:
    return lambda weights: {name: float(weights @ values / weights.sum())}


def test_fewer_mistakes_on_every_drive_are_no_gain_while_they_are_few() -> None:
    """Five drives of an hour, each with one mistake less: five events could have been two to twelve (Garwood); a worse one is as measured."""
    units, name = Units("drive", {}, 5), "mistakes_per_hour.total"
    ours, trivial = (lambda _, rate=rate: {name: rate} for rate in (1.0, 2.0))
    assert gains(ours, trivial, units, {name: 5.0})[name] == (pytest.approx(1.6235 / 5, abs=1e-4), pytest.approx(11.6683 / 5, abs=1e-4))
    assert gains(trivial, ours, units, {name: 5.0})[name] == (-1.0, -1.0)
    assert gains(ours, lambda _: {name: None}, units) == gains(ours, trivial, Units("drive", {}, 2)) == {}


def test_an_interval_of_three_drives_by_blocks_reaches_its_level_for_these_drives() -> None:
    """Three drives of 80 s, each with a level of its own, and errors that last some seconds: the true value is the mean of their levels."""
    rng = np.random.default_rng(3)
    frames = [Frame(f"frame/{drive}/s/{at}", drive, "s", at * 500_000_000, 9, 9) for drive in "abc" for at in range(160)]
    units = units_of(frames)
    assert (units.by, units.count) == ("10 s blocks", 24)
    number = np.array([units.number(frame) for frame in frames])
    held = 0
    for _ in range(DRAWS):
        levels = rng.lognormal(-1, 0.3, 3)
        blocks = np.bincount(number, weights=np.concatenate([level * lasting(rng, 160) for level in levels]))

        def measure(weights: np.ndarray, blocks: np.ndarray = blocks) -> dict[str, float | None]:
            return {"path_error.mean": float(weights @ blocks / (20 * weights.sum()))}

        low, high = intervals(measure, units)["path_error.mean"]
        held += low <= levels.mean() <= high
    assert held / DRAWS >= LEAST


def lasting(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw positive numbers of mean 1, each like those of the 2 s before it."""
    noise = rng.normal(0, 1, count + 3)
    return np.exp(0.25 * (noise[:-3] + noise[1:-2] + noise[2:-1] + noise[3:]) - 0.125)


def test_units_that_are_all_alike_leave_room_for_others() -> None:
    """Of ten drives none missed anything: up to 31 % of drives may be other (Clopper and Pearson); no mistake in an hour: up to 3.7 (Garwood)."""
    units = Units("drive", {}, 10)
    assert intervals(lambda _: {"recall.car": 1.0}, units)["recall.car"] == (pytest.approx(1 - 0.3085, abs=1e-4), 1.0)
    assert intervals(lambda _: {"recall.car": 0.5}, units)["recall.car"] == pytest.approx((0.5 - 0.3085 / 2, 0.5 + 0.3085 / 2), abs=1e-4)
    assert intervals(lambda _: {"mota": 0.0}, units)["mota"] == (0.0, pytest.approx(0.3085, abs=1e-4))
    name = "mistakes_per_hour.total"
    assert intervals(lambda _: {name: 0.0}, units, {name: 1.0})[name] == (0.0, pytest.approx(3.6889, abs=1e-4))


def test_what_hangs_on_one_unit_and_fewer_than_three_units_have_no_interval() -> None:
    def measure(weights: np.ndarray) -> dict[str, float | None]:
        return {"recall.bus": 0.5 if weights[0] else None, "recall.car": 0.5}

    assert set(intervals(measure, Units("drive", {}, 5))) == {"recall.car"}
    assert intervals(measure, Units("drive", {}, 2)) == {}


def test_units_are_drives_from_five_on_and_blocks_of_time_or_frames_before() -> None:
    drives = [Frame(f"frame/{drive}/s/{at}", drive, "s", at * 10**9, 9, 9) for drive in "abcde" for at in range(40)]
    assert (units_of(drives).by, units_of(drives).count) == ("drive", 5)
    assert (units_of(drives[:160]).by, units_of(drives[:160]).count) == ("10 s blocks", 16)
    clockless = [Frame(f"frame/a/s/{at}", "a", "s", at, 9, 9, clock="index") for at in range(60)]
    assert (units_of(clockless).by, units_of(clockless).count) == ("20-frame blocks", 3)
