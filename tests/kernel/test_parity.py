"""How far two answers lie apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tracecore.check import CheckResult
from tracecore.errors import RunFailed, UsageError
from tracecore.parity import Answers, Parity, ParityParams, compare, sample_images
from tracecore.plugins.built_in_checks import ParityCheck
from tracecore_schemas.run import Artifact


def answer(*rows: tuple[float, float, int]) -> Answers:
    """Return one image's detections: (x, score, class), each box 10 px wide."""
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
    """Return many boxes of nearly the same score, some of them moved by px."""
    return answer(*((20.0 * place + moved.get(f"b{place}", 0.0), 0.9 - place * 1e-3, 0) for place in range(count)), (0, 0.01, 0))


def test_of_many_boxes_the_few_that_differ_most_are_left_out_and_counted() -> None:
    """Rounding decides which of two neighboring cells of equal score is the peak."""
    parity = compare(_row(100), _row(100, b7=4.2), height=50, width=2100)
    assert parity.boxes_px == 0
    assert parity.tied == 4  # 2 %, seen from either side
    assert facet_of(parity)["tied"] == 4


def test_many_boxes_moved_alike_are_no_chance() -> None:
    parity = compare(_row(100), _row(100, **{f"b{place}": 4.2 for place in range(5)}), height=50, width=2100)
    assert parity.boxes_px == pytest.approx(4.2, abs=1e-4)


def test_scores_that_are_all_lost_show() -> None:
    """However far apart the scores are: what differs by more than rounding is never taken for a tie."""
    other = _row(100)
    other.scores[:] = 0.001
    assert compare(_row(100), other, height=50, width=2100).scores == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("lost", [(0.9, 2), (0.4, 1)])
def test_a_class_that_is_lost_shows_however_few_its_boxes_are_among_all(lost: tuple[float, int]) -> None:
    """One pedestrian on an image of 100 boxes is 1 % of them: it is found as another class, or at another score, and no tie."""
    one = answer((900, 0.9, 1), *((8.0 * place, 0.5 - place * 1e-3, 0) for place in range(100)), (0, 0.01, 1))
    other = answer((900, *lost), *((8.0 * place, 0.5 - place * 1e-3, 0) for place in range(100)), (0, 0.01, 1))
    for parity in (compare(one, other, height=50, width=1000), compare(other, one, height=50, width=1000)):
        assert not check(facet_of(parity, boxes_px=2000)).success


@pytest.mark.parametrize("output", ["boxes", "scores", "path", "light"])
def test_answers_that_are_no_numbers_are_never_alike(output: str) -> None:
    """Half precision overflows to infinity, and on to NaN, which is at no distance from anything."""
    rows = {"path": np.zeros((1, 2), np.float32), "light": np.ones((1, 2), np.float32)}
    broken = Answers(ONE.boxes.copy(), ONE.scores.copy(), ONE.classes, **{name: each.copy() for name, each in rows.items()})
    getattr(broken, output)[0, 0] = np.nan
    for pair in ((broken, broken), (Answers(ONE.boxes, ONE.scores, ONE.classes, **rows), broken)):
        with pytest.raises(RunFailed, match=f"the output '{output}' of one of them is not finite"):
            compare(*pair, height=50, width=100)


def test_boxes_that_can_not_be_told_apart_by_their_scores_are_not_compared_and_do_not_pass() -> None:
    flat = answer((0, 0.5, 0), (30, 0.5, 1), (60, 0.5, 0))
    judged = check(facet_of(compare(flat, flat, height=50, width=100)))
    assert not judged.success
    assert "boxes none with a score unlike the others, some box to compare" in judged.message


def facet_of(parity: Parity, **tolerances: float) -> dict[str, Any]:
    return parity.facet(against="torch", what="recorded frames", tolerances={"boxes_px": 0.1, "scores": 0.001, **tolerances})


def check(facet: dict[str, Any] | None, **params: Any) -> CheckResult:
    target = Artifact("model", "p.half", "sha256:" + 64 * "0", facets={} if facet is None else {"tracecore_parity": facet})
    seen: Any = SimpleNamespace(ports=("half",), params=params, target=target)
    return ParityCheck().run(seen)


def test_the_check_judges_each_difference_in_its_own_unit() -> None:
    parity = compare(ONE, answer((2, 0.9, 0), (30, 0.8, 1), (60, 0.1, 0)), height=50, width=100)
    judged = check(facet_of(parity))
    assert not judged.success
    assert judged.message == (
        "The model does not answer as torch on 1 recorded frames. Greatest difference of a box's side in px 2, at most 0.1; a score 0, at most 0.001."
    )
    assert [(each.assertion, each.success) for each in judged.outcomes] == [("boxes_px", False), ("scores", True)]
    assert check(facet_of(parity, boxes_px=2)).success


def test_a_box_without_a_partner_fails_the_check_whatever_the_tolerance() -> None:
    parity = compare(ONE, answer((0, 0.9, 0), (30, 0.8, 2), (60, 0.1, 0)), height=50, width=100)
    assert not check(facet_of(parity, boxes_px=1000, scores=1)).success


def test_what_was_not_compared_fails_the_check_and_a_setting_of_it_is_refused() -> None:
    assert "no facet tracecore_parity" in check(None).message
    with pytest.raises(UsageError, match="tolerances are parameters of the stage, such as tolerance_px"):
        check(facet_of(compare(ONE, ONE, height=50, width=100)), tolerance=1e-5)


def test_tolerances_are_those_of_the_arithmetic_unless_the_program_says_others() -> None:
    assert ParityParams().tolerances(narrow=False) == {"boxes_px": 0.1, "scores": 0.001, "path_m": 0.01, "light": 0.001}
    found = ParityParams(tolerance_px=3, tolerance_m=0.5).tolerances(narrow=True)
    assert found == {"boxes_px": 3, "scores": 0.02, "path_m": 0.5, "light": 0.02}
