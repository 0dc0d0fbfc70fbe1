"""AP, precision and recall against cases worked out by hand, and the library's matching against our own."""

from __future__ import annotations

import numpy as np
import pytest

from tracecore_evaluation.detections import Detections, Frame, GroundTruth, iou_matrix, size_of
from tracecore_evaluation.obstacle_kpis import average_precision, kpis, match
from tracecore_evaluation.slices import Slicing, slice_names

Box = tuple[float, float, float, float]


def a_frame(number: int, **slices: str) -> Frame:
    return Frame(f"frame/d/s/{number}", "d", "s", number, 640, 480, slices)


def truth(*boxes: tuple[int, Box], crowd: tuple[int, ...] = ()) -> GroundTruth:
    array = np.array([box for _, box in boxes], dtype=np.float64).reshape(-1, 4)
    return GroundTruth(
        array,
        np.array([class_ for class_, _ in boxes], dtype=np.int64),
        array[:, 2] * array[:, 3],
        np.array([row in crowd for row in range(len(boxes))], dtype=bool),
        tuple(f"label-{row}" for row in range(len(boxes))),
    )


def seen(*boxes: tuple[float, int, Box]) -> Detections:
    return Detections(
        np.array([box for _, _, box in boxes], dtype=np.float64).reshape(-1, 4),
        np.array([score for score, _, _ in boxes], dtype=np.float64),
        np.array([class_ for _, class_, _ in boxes], dtype=np.int64),
    )


HUNDRED: Box = (100, 100, 100, 100)


def test_average_precision_is_what_a_hand_computes() -> None:
    """Three objects; by score: a hit, a false positive, a hit. Precision is 1 up to recall 1/3, 2/3 up to 2/3, and 0 beyond."""
    frames = [a_frame(0), a_frame(1)]
    true = {frames[0].id: truth((0, HUNDRED), (0, (300, 300, 100, 100))), frames[1].id: truth((0, HUNDRED))}
    found = {frames[0].id: seen((0.9, 0, HUNDRED), (0.8, 0, (500, 10, 50, 50))), frames[1].id: seen((0.7, 0, HUNDRED))}
    result = average_precision(frames, true, found, 1)
    # 101 recalls: 34 of them (0 to 0.33) at precision 1, 33 (0.34 to 0.66) at 2/3, the rest at 0.
    by_hand = (34 * 1 + 33 * 2 / 3) / 101
    assert result.ap50["all"] == (pytest.approx(by_hand),)
    assert result.ap["all"] == (pytest.approx(by_hand),), "boxes that fit exactly hit at every overlap"
    curve = result.curves[0]
    assert curve is not None
    assert (curve.recall[33], curve.precision[33]) == (pytest.approx(0.33), pytest.approx(1.0))
    assert (curve.recall[34], curve.precision[34]) == (pytest.approx(0.34), pytest.approx(2 / 3))
    assert curve.precision[67] == 0


def test_the_mean_over_overlaps_counts_how_well_a_box_fits() -> None:
    """A box of overlap 80/100 hits at 0.5, 0.55, ... 0.8: seven of ten overlaps."""
    frames = [a_frame(0)]
    result = average_precision(frames, {frames[0].id: truth((0, HUNDRED))}, {frames[0].id: seen((0.9, 0, (100, 100, 80, 100)))}, 1)
    assert result.ap50["all"] == (pytest.approx(1.0),)
    assert result.ap["all"] == (pytest.approx(0.7),)


def test_a_class_without_objects_has_no_average_precision() -> None:
    frames = [a_frame(0)]
    result = average_precision(frames, {frames[0].id: truth((0, HUNDRED))}, {frames[0].id: seen((0.9, 1, HUNDRED))}, 2)
    assert result.ap50["all"] == (0.0, None)
    assert result.curves[1] is None


def test_a_detector_that_sees_nothing_scores_zero() -> None:
    frames = [a_frame(0)]
    result = average_precision(frames, {frames[0].id: truth((0, HUNDRED), (1, (0, 0, 10, 10)), crowd=(1,))}, {frames[0].id: seen()}, 2)
    assert result.ap50["all"] == (0.0, None), "a crowd is no object to find"
    assert result.ap50["small"] == (None, None)
    assert result.ap50["large"] == (0.0, None)


def test_each_object_is_hit_once_by_the_best_detection() -> None:
    true = truth((0, HUNDRED), (0, (120, 100, 100, 100)), (1, HUNDRED))
    found = match(seen((0.9, 0, (118, 100, 100, 100)), (0.8, 0, (119, 100, 100, 100)), (0.7, 0, HUNDRED), (0.6, 1, (400, 0, 9, 9))), true, 0.5)
    assert found.hit.tolist() == [1, 0, -1, -1], "the second takes what is left, the third finds nothing free"
    assert found.found.tolist() == [True, True, False]
    assert found.overlap_seen[2] == 1
    assert found.overlap_true[2] == 1, "of any class: it says what the object was taken for"


def test_what_lies_on_a_crowd_is_neither_right_nor_wrong() -> None:
    true = truth((0, (0, 0, 400, 400)), crowd=(0,))
    found = match(seen((0.9, 0, (10, 10, 50, 50)), (0.8, 1, (10, 10, 50, 50))), true, 0.5)
    assert found.hit.tolist() == [-2, -1]
    frames = [a_frame(0)]
    values = kpis(frames, {frames[0].id: true}, {frames[0].id: seen((0.9, 0, (10, 10, 50, 50)))}, ["car"], 0.5, 0.5, Slicing()).values
    assert values["precision.car"] is None
    assert values["recall.car"] is None


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 5, 5]], dtype=np.float64)
    others = np.array([[5, 0, 10, 10], [0, 0, 0, 0]], dtype=np.float64)
    assert iou_matrix(boxes, others).tolist() == [[pytest.approx(1 / 3), 0], [0, 0]]


def test_precision_and_recall_count_at_the_asked_score() -> None:
    frames = [a_frame(0)]
    true = {frames[0].id: truth((0, HUNDRED), (0, (300, 300, 100, 100)))}
    found = {frames[0].id: seen((0.9, 0, HUNDRED), (0.6, 0, (0, 0, 20, 20)), (0.2, 0, (300, 300, 100, 100)))}
    strict = kpis(frames, true, found, ["car"], 0.5, 0.5, Slicing())
    assert (strict.values["precision.car"], strict.values["recall.car"]) == (0.5, 0.5)
    assert (strict.counts["car"].hits, strict.counts["car"].false_positives, strict.counts["car"].misses) == (1, 1, 1)
    loose = kpis(frames, true, found, ["car"], 0.1, 0.5, Slicing())
    assert (loose.values["precision.car"], loose.values["recall.car"]) == (pytest.approx(2 / 3), 1.0)
    assert strict.values["ap50.car"] == loose.values["ap50.car"], "AP counts all scores"


def test_slices_are_of_their_frames_and_sizes_of_their_objects() -> None:
    frames = [a_frame(0, time_of_day="night"), a_frame(1, time_of_day="day")]
    true = {frames[0].id: truth((0, HUNDRED)), frames[1].id: truth((0, (0, 0, 20, 20)))}
    found = {frames[0].id: seen(), frames[1].id: seen((0.9, 0, (0, 0, 20, 20)))}
    values = kpis(frames, true, found, ["car"], 0.5, 0.5, Slicing()).values
    assert (values["recall.car.night"], values["recall.car.day"]) == (0.0, 1.0)
    assert (values["recall.car.small"], values["recall.car.medium"], values["recall.car.large"]) == (1.0, None, 0.0)
    assert (values["ap50.car.night"], values["ap50.car.day"], values["ap50.car.small"]) == (0.0, pytest.approx(1.0), pytest.approx(1.0))
    assert values["map50"] == values["ap50.car"]


def test_a_value_of_two_dimensions_is_told_apart() -> None:
    frames = [a_frame(0, drive="night", time_of_day="night"), a_frame(1, drive="small")]
    assert set(slice_names(frames)) == {"drive-night", "time_of_day-night", "drive-small"}


def test_a_slice_takes_no_kpi_of_a_class_whose_name_ends_like_it() -> None:
    frames = [a_frame(0, time_of_day="night"), a_frame(1, time_of_day="day")]
    true = {frames[0].id: truth((0, HUNDRED)), frames[1].id: truth((1, HUNDRED))}
    found = {frames[0].id: seen(), frames[1].id: seen((0.9, 1, HUNDRED))}
    values = kpis(frames, true, found, ["car", "car.night"], 0.5, 0.5, Slicing()).values
    assert (values["recall.car.night"], values["recall.car.time_of_day-night"]) == (1.0, 0.0)


def test_sizes_are_cocos() -> None:
    assert [size_of(area) for area in (0, 1023, 1024, 9215, 9216, 1e12)] == ["small", "small", "medium", "medium", "large", "large"]


def test_the_library_and_our_matching_find_the_same_objects() -> None:
    """The last recall at which the library's precision is above zero is the recall of our own matching at score 0."""
    rng = np.random.default_rng(3)
    frames = [a_frame(number) for number in range(30)]
    true, found = {}, {}
    for frame in frames:
        boxes = np.c_[rng.uniform(0, 300, (5, 2)), rng.uniform(20, 150, (5, 2))]
        true[frame.id] = truth(*[(int(rng.integers(2)), tuple(box)) for box in boxes.tolist()])
        near = boxes + rng.normal(0, 8, boxes.shape)
        scores = np.sort(rng.random(5))[::-1]
        found[frame.id] = seen(*[(float(score), int(rng.integers(2)), tuple(box)) for score, box in zip(scores, near.tolist(), strict=True)])
    result = average_precision(frames, true, found, 2)
    values = kpis(frames, true, found, ["a", "b"], 0.0, 0.5, Slicing()).values
    for class_, name in enumerate("ab"):
        curve = result.curves[class_]
        assert curve is not None
        reached = max(recall for recall, precision in zip(curve.recall, curve.precision, strict=True) if precision > 0)
        recall = values[f"recall.{name}"]
        assert recall is not None
        assert reached <= recall < reached + 0.01
