"""How far two answers lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from tracecore.answers import Answers
from tracecore.parity import compare, sample_images


def answer(*rows: tuple[float, float, int]) -> Answers:
    """Give one image's detections: (x, score, class), each box 10 px wide."""
    boxes = np.array([[[x, 0, x + 10, 10] for x, _, _ in rows]], np.float32)
    return Answers(boxes, np.array([[score for _, score, _ in rows]], np.float32), np.array([[kind for *_, kind in rows]], np.int64))


ONE = answer((0, 0.9, 0), (30, 0.8, 1), (60, 0.1, 0))


def test_equal_answers_do_not_differ() -> None:
    parity = compare(ONE, ONE, height=50, width=100)
    assert parity.max_abs_difference == 0
    assert parity.compared == 4


def test_ties_in_another_order_are_no_difference() -> None:
    one = answer((0, 0.9, 0), (30, 0.9, 0), (60, 0.1, 0))
    other = answer((30, 0.9, 0), (0, 0.9, 0), (60, 0.1, 0))
    assert compare(one, other, height=50, width=100).max_abs_difference == 0


def test_what_rounding_lets_in_at_the_last_place_is_no_difference() -> None:
    other = answer((0, 0.9, 0), (30, 0.8, 1), (90, 0.10001, 1))
    parity = compare(ONE, other, height=50, width=100)
    assert parity.max_abs_difference < 1e-4


def test_a_moved_box_shows_in_pixels_and_as_a_share_of_the_longer_side() -> None:
    parity = compare(ONE, answer((2, 0.9, 0), (30, 0.8, 1), (60, 0.1, 0)), height=50, width=100)
    assert parity.boxes_px == 2
    assert parity.max_abs_difference == 0.02


def test_another_score_shows() -> None:
    parity = compare(ONE, answer((0, 0.85, 0), (30, 0.8, 1), (60, 0.1, 0)), height=50, width=100)
    assert parity.max_abs_difference == pytest.approx(0.05, abs=1e-6)


def test_a_box_of_a_class_that_the_other_never_names_is_as_far_apart_as_can_be() -> None:
    parity = compare(ONE, answer((0, 0.9, 0), (30, 0.8, 2), (60, 0.1, 0)), height=50, width=100)
    assert parity.unmatched == 2
    assert parity.max_abs_difference == 1


def test_pictures_are_the_same_for_the_same_seed_and_in_range() -> None:
    one, same, other = (sample_images(2, height=50, width=70, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.shape == (2, 3, 50, 70)
    assert one.min() == 0
    assert one.max() == 1


def _row(count: int, **moved: float) -> Answers:
    """Give many boxes of nearly the same score, some of them moved by px."""
    return answer(*((20.0 * place + moved.get(f"b{place}", 0.0), 0.9 - place * 1e-3, 0) for place in range(count)), (0, 0.01, 0))


def test_a_neighboring_cell_of_equal_score_taken_for_the_peak_is_chance_and_is_counted() -> None:
    parity = compare(_row(100), _row(100, b7=4.2), height=50, width=2100)
    assert parity.boxes_px == 0
    assert parity.tied == 2  # seen from either side
    assert parity.facet(against="torch", tolerance=1e-3)["tied"] == 2


def test_many_boxes_moved_alike_are_no_chance() -> None:
    parity = compare(_row(100), _row(100, **{f"b{place}": 4.2 for place in range(5)}), height=50, width=2100)
    assert parity.boxes_px == pytest.approx(4.2, abs=1e-4)


def test_a_box_moved_with_another_score_is_no_tie() -> None:
    one = _row(100)
    other = _row(100, b7=4.2)
    other.scores[0, 7] += 5e-4
    assert compare(one, other, height=50, width=2100).boxes_px == pytest.approx(4.2, abs=1e-4)
