"""The tracker, and how well it follows, against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tracecore_evaluation.detections import Detections, Frame, GroundTruth
from tracecore_evaluation.driving_time import driven, stretches
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.mistakes import lasting, runs
from tracecore_evaluation.online_metrics import Rules, true_stretches
from tracecore_evaluation.tracker import Tracked, Tracker, TrackerSettings
from tracecore_evaluation.tracking_metrics import COUNTS, Relevance, Scores, TrackedFrame, followed, true_stretch, unusable_tracks

SETTINGS = TrackerSettings(iou=0.3, motion=0.0, confirm=0.1, coast=0.35)
NS = 1_000_000_000


def seen(*boxes: tuple[float, float, float, float], classes: Sequence[int] | None = None, score: float = 0.9) -> Detections:
    count = len(boxes)
    return Detections(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.full(count, score), np.array(classes or [0] * count, dtype=np.int64))


def truth(*boxes: tuple[float, float, float, float], crowd: Sequence[bool] = ()) -> GroundTruth:
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    ids = tuple(f"label-{row}" for row in range(len(boxes)))
    return GroundTruth(
        array, np.zeros(len(boxes), dtype=np.int64), array[:, 2] * array[:, 3], np.array(crowd or [False] * len(boxes), dtype=bool), ids
    )


def tracked(**boxes: tuple[float, float, float, float]) -> Tracked:
    """Return tracks by number (`t3=box`)."""
    numbers = tuple(int(name[1:]) for name in boxes)
    array = np.array(list(boxes.values()), dtype=np.float64).reshape(-1, 4)
    return Tracked(numbers, tuple(range(len(numbers))), array, np.zeros(len(numbers), dtype=np.int64), np.ones(len(numbers)))


def moment(true: GroundTruth, names: Sequence[str], found: Tracked) -> TrackedFrame:
    return TrackedFrame(true, tuple(names), ~true.crowd, found)


def total(scores: Scores, *names: str) -> tuple[int, ...]:
    """Return counts, summed over the moments."""
    return tuple(int(scores.by_moment[:, COUNTS.index(name)].sum()) for name in names)


HERE, THERE, NOWHERE = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 10.0, 10.0), (200.0, 200.0, 10.0, 10.0)


def test_an_object_that_moves_evenly_keeps_its_track_through_a_gap() -> None:
    tracker = Tracker(SETTINGS)
    numbers = [tracker.step(seen((4.0 * n, 0, 10, 10)) if n not in (5, 6) else seen(), 0.1).numbers for n in range(10)]
    assert numbers == [(), (0,), (0,), (0,), (0,), (), (), (0,), (0,), (0,)]


def test_a_track_is_confirmed_by_a_time_of_detections_and_ends_after_a_time_without() -> None:
    tracker = Tracker(SETTINGS)
    given = [seen(HERE), seen(HERE), seen(), seen(), seen(), seen(HERE), seen(HERE)]
    assert [tracker.step(each, 0.1).numbers for each in given] == [(), (0,), (), (), (), (), (1,)]


def test_boxes_are_widened_to_find_what_moved_by_more_than_its_size() -> None:
    steps = [seen((n * 12.0, 0, 10, 10)) for n in range(3)]
    strict, wide = Tracker(SETTINGS), Tracker(TrackerSettings(iou=0.2, motion=1.0, confirm=0.5, coast=1.2))
    assert [strict.step(each, 0.5).numbers for each in steps] == [(), (), ()]
    assert [wide.step(each, 0.5).numbers for each in steps] == [(), (0,), (0,)]


def test_classes_are_never_mixed() -> None:
    tracker = Tracker(SETTINGS)
    tracker.step(seen(HERE, classes=[0]), 0.1)
    assert tracker.step(seen(HERE, classes=[1]), 0.1).numbers == ()


def test_mota_and_idf1_are_what_a_hand_computes() -> None:
    """Two objects over three frames: one is followed by track 1, then 1, then 2; the other is missed once; one box is on nothing."""
    both = truth(HERE, THERE)
    moments = [
        moment(both, "ab", tracked(t1=HERE, t7=THERE)),
        moment(both, "ab", tracked(t1=HERE, t9=NOWHERE)),
        moment(both, "ab", tracked(t2=HERE, t7=THERE)),
    ]
    found = followed(moments, 0.5)
    assert total(found, "objects", "boxes", "misses", "false_boxes", "switches") == (6, 6, 1, 1, 1)
    assert total(found, "identical") == (4,), "a with 1 twice, b with 7 twice"
    assert found.nothing == {9: [1]}
    assert [each.tolist() for each in found.seen] == [[True, True], [True, False], [True, True]]


def test_who_was_followed_stays_followed_while_it_overlaps_enough() -> None:
    """Another track fits better on the second frame; the first still overlaps by 0.6, so there is no switch."""
    one = truth(HERE)
    near, exact = (0.0, 0.0, 6.0, 10.0), HERE
    found = followed([moment(one, "a", tracked(t1=exact)), moment(one, "a", tracked(t1=near, t2=exact))], 0.5)
    assert total(found, "switches", "false_boxes") == (0, 1)
    assert found.nothing == {}, "a track beside an object is imprecise, not on nothing"


def test_what_does_not_count_is_neither_missed_nor_false() -> None:
    far = TrackedFrame(truth(HERE, THERE), ("a", "b"), np.array([False, False]), tracked(t1=HERE))
    found = followed([far], 0.5)
    assert total(found, "objects", "boxes", "misses", "false_boxes") == (0, 0, 0, 0)
    crowd = moment(truth((0.0, 0.0, 100.0, 100.0), crowd=[True]), "a", tracked(t1=HERE))
    found = followed([crowd], 0.5)
    assert total(found, "objects", "misses", "false_boxes") == (0, 0, 0)
    assert found.nothing == {}


def a_frame(drive: str, seconds: float, clock: str = "measured", sensor: str = "s", **slices: str) -> Frame:
    stamp = int(seconds) if clock == "index" else int(seconds * NS)
    return Frame(f"frame/{drive}/{sensor}/{stamp}", drive, sensor, stamp, 96, 64, slices, {}, clock)


def test_driving_time_leaves_out_breaks_and_drives_without_a_clock() -> None:
    frames = [a_frame("a", second) for second in (0, 0.5, 1.0, 9.0, 9.5)] + [a_frame("b", n, "index") for n in range(4)]
    assert driven(frames, {}).drives == {"a": pytest.approx(2.5)}, "the last frame before a break lasts as long as the one before it"
    assert [len(stretch) for stretch in stretches(frames)] == [3, 2, 4]


def test_two_cameras_of_one_drive_drive_once_and_time_belongs_to_slices() -> None:
    frames = [a_frame("a", second / 10, sensor=sensor, time="day" if second < 5 else "night") for second in range(11) for sensor in ("l", "r")]
    by_day = [frame for frame in frames if frame.slices["time"] == "day"]
    time = driven(frames, {"day": by_day})
    assert time.drives == {"a": pytest.approx(1.1)}
    assert sum(time.lasting[moment] for moment in time.slices["day"]) == pytest.approx(0.5)


def test_labels_without_tracks_are_tracked_from_their_boxes_alone() -> None:
    stretch = [a_frame("a", second / 10) for second in range(3)]
    boxes = {frame.id: truth((2.0 * place, 0, 10, 10), THERE) for place, frame in enumerate(stretch)}
    assert true_stretch(stretch, boxes, SETTINGS, Relevance(40, 0), track=True).names == (("0-0", "0-1"),) * 3


def test_an_episode_is_some_time_without_a_break_and_what_is_not_known_breaks_it() -> None:
    tenths = [0.1] * 6
    assert list(runs([True, True, False, True, True, True], tenths, 0.2)) == [(0, 1), (3, 5)]
    assert list(runs([True, True, False, True, True, True], tenths, 0.3)) == [(3, 5)], "a frame lasts until the next one"
    assert list(runs([True, None, True], tenths, 0.2)) == []
    assert list(runs([True], tenths, 0.1)) == [(0, 0)]
    assert lasting([a_frame("a", second) for second in (0, 0.5, 2.0)]) == [0.5, 1.5, 1.5]


def test_cameras_of_other_rates_share_the_time_of_a_slice() -> None:
    """Only the slow camera's frames say that there was glare: for as long as its frame lasts, not until the fast camera's next one."""
    fast = [a_frame("a", second / 10, sensor="fast") for second in range(31)]
    slow = [a_frame("a", second + 0.01, sensor="slow") for second in range(4)]
    time = driven([*fast, *slow], {"glare": slow[1:2], "all": [*fast, *slow]})
    assert sum(time.lasting[moment] for moment in time.slices["glare"]) == pytest.approx(1.0)
    assert sum(time.lasting[moment] for moment in time.slices["all"]) == pytest.approx(time.drives["a"])


def test_frames_without_boxes_between_two_with_boxes_are_a_break_where_they_last_long() -> None:
    """Paths are labeled on every frame, boxes on the first and the last: these are 5 s apart, so nothing is followed from one to the other."""
    frames = [a_frame("a", second / 2) for second in range(11)]
    boxes = {frame.id: truth(HERE) for frame in (frames[0], frames[-1])}
    labels = Labels(boxes, {frame.id: np.zeros(1) for frame in frames})
    assert [len(stretch.frames) for stretch in true_stretches(frames, labels, Rules(0.5, 1.0, 1.0, Relevance(40, 0), SETTINGS))] == [1, 1]


def test_a_drive_with_regions_alone_is_not_said_to_lack_tracks() -> None:
    frame = a_frame("a", 0)
    assert unusable_tracks([frame], {frame.id: truth(HERE, crowd=[True])}) == (set(), set())
    assert unusable_tracks([frame], {frame.id: truth(HERE)}) == ({"a"}, set())


def test_thousands_of_objects_of_which_nobody_named_the_track_are_scored() -> None:
    """Each counts on its frame only; the table of all with all would take gigabytes."""
    row = [(20.0 * place, 0.0, 10.0, 10.0) for place in range(8)]

    def at(time: int) -> TrackedFrame:
        numbers = tuple(8 * (time // 2) + place for place in range(8))
        found = Tracked(numbers, tuple(range(8)), np.array(row), np.zeros(8, dtype=np.int64), np.ones(8))
        return moment(truth(*row), [f"{time}-{place}" for place in range(8)], found)

    assert total(followed([at(time) for time in range(2000)], 0.5), "objects", "boxes", "misses", "identical") == (16000, 16000, 0, 8000)
