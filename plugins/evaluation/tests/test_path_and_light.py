"""Path and light, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tracecore_evaluation.detections import Frame
from tracecore_evaluation.kpi_specs import better, kpi_of
from tracecore_evaluation.path_and_light_kpis import lateral, light_kpis, path_kpis

A = Frame("frame/a/s/0", "a", "s", 0, 96, 64, {"time_of_day": "day"})
B = Frame("frame/b/s/0", "b", "s", 0, 96, 64, {"time_of_day": "night"})


def test_a_path_is_read_at_distances_ahead_from_the_vehicle_on() -> None:
    assert lateral([4.0, 1.0, 12.0, 3.0], [2, 4, 8, 12]).tolist() == [0.5, 1.0, 2.0, 3.0]


def test_a_path_that_ends_early_is_drawn_on_a_little_and_unknown_beyond() -> None:
    assert lateral([10.0, 0.0, 19.0, 1.8], [20]).tolist() == [pytest.approx(2.0)]
    assert np.isnan(lateral([10.0, 0.0, 17.0, 1.4], [20])).all()
    assert np.isnan(lateral([], [5])).all()


def test_a_path_counts_as_far_as_it_leads_forward() -> None:
    turned = lateral([10.0, 0.0, 19.5, 1.0, 15.0, 5.0], [10, 20])
    assert turned[0] == 0
    assert np.isnan(turned[1]), "it turns back at 19.5 m: nothing is drawn on"


@pytest.mark.parametrize("rest", [[float("nan"), 1.0], [15.0, float("inf")], [float("inf"), 0.0, 30.0, 0.0], [15.0]])
def test_a_path_ends_where_a_point_is_no_number(rest: list[float]) -> None:
    found = lateral([10.0, 1.0, *rest], [5, 10, 20])
    assert found[:2].tolist() == [0.5, 1.0]
    assert np.isnan(found[2])


def test_path_errors_are_what_a_hand_computes() -> None:
    """Errors of 0.1 and 0.4 m by day, 2.0 m and unknown at night."""
    truth = {A.id: np.array([0.0, 1.0]), B.id: np.array([0.0, np.nan])}
    said = {A.id: np.array([0.1, 0.6]), B.id: np.array([-2.0, 3.0])}
    found = path_kpis([A, B], truth, said, [5, 20], 0.5)
    assert found.values["path_error.mean"] == pytest.approx(2.5 / 3)
    assert found.values["path_error.p95"] == pytest.approx(0.4 + 0.9 * 1.6)
    assert found.values["path_within"] == pytest.approx(2 / 3)
    assert found.values["path_error.mean.at_5m"] == pytest.approx(1.05)
    assert found.values["path_error.mean.at_20m"] == pytest.approx(0.4)
    assert found.values["path_error.mean.day"] == pytest.approx(0.25)
    assert (found.values["path_error.mean.night"], found.values["path_within.night"]) == (2.0, 0.0)
    assert found.slices == {"day": 1, "night": 1}


def test_light_states_are_counted_by_what_they_were_taken_for() -> None:
    """Red twice, once taken for green; green once, right."""
    frames = [Frame(f"frame/a/s/{n}", "a", "s", n, 96, 64) for n in range(3)]
    truth = dict(zip((frame.id for frame in frames), (1, 1, 2), strict=True))
    said = dict(zip((frame.id for frame in frames), (1, 2, 2), strict=True))
    found = light_kpis(frames, truth, said, ["none", "red", "green"])
    assert found.confusion.tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert found.values["light.accuracy"] == pytest.approx(2 / 3)
    assert (found.values["light.precision.red"], found.values["light.recall.red"]) == (1.0, 0.5)
    assert found.values["light.f1.red"] == pytest.approx(2 / 3)
    assert (found.values["light.precision.green"], found.values["light.recall.green"]) == (0.5, 1.0)
    assert found.values["light.recall.none"] is None, "it was never there"


def test_of_errors_and_rates_less_is_better() -> None:
    assert better("path_error.mean.night", 0.2, 0.3)
    assert better("mistakes_per_hour.total", 10, 20)
    assert better("map50", 0.3, 0.2)
    assert not better("light.accuracy", 0.2, 0.3)
    assert kpi_of("path_error.p95").unit == "m"
