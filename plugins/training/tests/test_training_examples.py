"""Which frames and labels are learned from, and what is recorded of the rest."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

import tracecore as tc
from tracecore import RunFailed, UsageError
from tracecore_training.parameters import Heads, ObstacleHead
from tracecore_training.targets import IGNORED, draw_targets
from tracecore_training.training_data import Examples, read_examples, read_labels

Rows = list[dict[str, Any]]
BOXES = Heads(obstacles=ObstacleHead())


@pytest.fixture
def read(as_frames: Callable[[Rows], Any], as_labels: Callable[[Rows], Any]) -> Callable[..., Examples]:
    def run(frames: Rows, labels: Rows, classes: tuple[str, ...] = ()) -> Examples:
        table = read_labels(ds.dataset(as_labels(labels)), Heads(obstacles=ObstacleHead(classes=classes)))
        return read_examples(ds.dataset(as_frames(frames)), table, height=64, width=96)

    return run


def test_boxes_are_scaled_from_the_recorded_image_to_the_input(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    examples = read(frames, [make_label(frames[0]["frame_id"], "a", "car", (48, 32, 96, 64))])
    assert examples.boxes[0].tolist() == [[24, 16, 72, 48]]
    assert examples.images.shape == (1, 64, 96, 3)


def test_classes_are_all_categories_sorted_unless_named(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    labels = [make_label(frames[0]["frame_id"], name, name, (10, 10, 20, 20)) for name in ("sign", "car")]
    assert read(frames, labels).classes == ("car", "sign")
    only = read(frames, labels, ("sign",))
    assert only.classes == ("sign",)
    assert only.objects == 1


def test_frames_come_in_order_of_time_whatever_order_they_are_stored_in(read: Callable[..., Examples], drawn: Any) -> None:
    frames, labels = drawn(6)
    assert np.array_equal(read(frames, labels).images, read(frames[::-1], labels[::-1]).images)


def test_a_frame_without_label_rows_is_left_out_and_one_said_to_be_empty_is_kept(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, labels = drawn(3)
    labels = [row for row in labels if row["frame_id"] == frames[0]["frame_id"]]
    labels.append(make_label(frames[1]["frame_id"], "empty", None, None))
    examples = read(frames, labels)
    assert len(examples.images) == 2
    assert len(examples.boxes[1]) == 0
    assert examples.ignored["frames_without_labels"] == 1


def test_labels_of_unknown_frames_are_ignored_and_counted(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, labels = drawn(2)
    examples = read(
        frames, [*labels, make_label("frame/other/camera/1", "x", "car", (1, 1, 9, 9)), make_label("frame/other/camera/2", "y", None, None)]
    )
    assert examples.ignored["labels_of_unknown_frames"] == 1
    assert examples.objects == len(labels)


def test_the_last_revision_of_a_label_counts(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    one = frames[0]["frame_id"]
    labels = [make_label(one, "a", "car", (48, 32, 96, 64), revision=1), make_label(one, "a", "car", (0, 0, 10, 10))]
    assert read(frames, labels).boxes[0].tolist() == [[24, 16, 72, 48]]


def test_boxes_without_a_finite_size_are_left_out_and_counted(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    one = frames[0]["frame_id"]
    boxes = [(10, 10, 20, 20), (float("nan"), 10, 20, 20), (10, 10, 0, 20), (500, 10, 20, 20), (10, 10, float("inf"), 20)]
    examples = read(frames, [make_label(one, str(number), "car", box) for number, box in enumerate(boxes)])
    assert examples.ignored["labels_without_a_box"] == 3
    assert examples.boxes[0][1].tolist() == [5, 5, 96, 15]  # over the edge is cut at the edge


def test_a_crowd_is_kept_as_a_region_to_ignore(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    one = frames[0]["frame_id"]
    examples = read(frames, [make_label(one, "a", "car", (10, 10, 20, 20)), make_label(one, "b", "car", (60, 10, 80, 60), crowd=True)])
    assert sorted(examples.indices[0].tolist()) == [IGNORED, 0]
    assert examples.objects == 1


@pytest.mark.parametrize("other", [{"ignore": True}, {"geometry": "polygon"}])
def test_what_has_no_box_that_counts_is_neither_right_nor_wrong(
    read: Callable[..., Examples], drawn: Any, make_label: Any, other: dict[str, Any]
) -> None:
    """As a crowd: no example, no class of its own, and nothing that is found there is wrong; of a class that is not learned it is nothing at all."""
    frames, _ = drawn(1)
    one = frames[0]["frame_id"]
    labels = [
        make_label(one, "a", "car", (10, 10, 20, 20)),
        make_label(one, "b", "car", (60, 10, 80, 60), **other),
        make_label(one, "c", "tram", (60, 70, 80, 60), **other),
    ]
    examples = read(frames, labels)
    assert examples.classes == ("car",)
    assert sorted(examples.indices[0].tolist()) == [IGNORED, 0]
    assert (examples.objects, examples.ignored["boxes_to_ignore"]) == (1, 1)
    with pytest.raises(UsageError, match="nothing to learn"):
        read(frames, labels[1:])


def test_an_outline_alone_does_not_make_its_frame_a_labeled_one(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(2)
    one, other = (frame["frame_id"] for frame in frames)
    outline = make_label(other, "b", "car", (60, 10, 80, 60), geometry="polygon")
    assert read(frames, [make_label(one, "a", "car", (10, 10, 20, 20)), outline]).ignored["frames_without_labels"] == 1


def test_a_frame_of_which_a_box_was_left_out_says_of_no_place_that_it_is_empty(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(2)
    whole, part = (frame["frame_id"] for frame in frames)
    labels = [make_label(one, f"{one} a", "car", (10, 10, 20, 20)) for one in (whole, part)]
    examples = read(frames, [*labels, make_label(part, "b", "car", (60, 10, 0, 60))])
    assert examples.fully_labeled.tolist() == [True, False]
    assert [len(boxes) for boxes in examples.boxes] == [1, 1]
    targets = draw_targets(examples.boxes, examples.indices, count=1, height=64, width=96, fully_labeled=examples.fully_labeled)
    assert targets.counted[0].min() == 1
    assert targets.counted[1].sum() == 1, "its one object alone"


def test_png_images_are_read_too(read: Callable[..., Examples], drawn: Any) -> None:
    frames, labels = drawn(1)
    buffer = io.BytesIO()
    Image.new("RGB", (192, 128), (10, 200, 30)).save(buffer, format="PNG")
    examples = read([frames[0] | {"encoding": "png", "image": buffer.getvalue()}], labels)
    assert examples.images[0, 5, 5].tolist() == [10, 200, 30]


def test_frames_that_no_label_speaks_of_are_a_clear_error(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(4)
    with pytest.raises(UsageError, match="None of the 4 frames has a label: the labels speak of 1 other frames"):
        read(frames, [make_label("frame/other/camera/1", "x", "car", (1, 1, 9, 9))])


def test_labels_without_any_box_are_a_clear_error(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    with pytest.raises(UsageError, match="nothing to learn: none of the 1 labels is a box"):
        read(frames, [make_label(frames[0]["frame_id"], "x", None, None)])


def test_a_wanted_class_without_labels_is_named_with_those_there_are(read: Callable[..., Examples], drawn: Any, make_label: Any) -> None:
    frames, _ = drawn(1)
    with pytest.raises(UsageError, match=r"no box of class 'tram'\. Their classes: car"):
        read(frames, [make_label(frames[0]["frame_id"], "x", "car", (1, 1, 9, 9))], ("car", "tram"))


def test_an_image_that_can_not_be_decoded_fails_by_name(read: Callable[..., Examples], drawn: Any) -> None:
    frames, labels = drawn(1)
    with pytest.raises(RunFailed, match="jpeg image of frame/drawn/camera/0 can't be decoded"):
        read([frames[0] | {"image": b"\xff\xd8 cut"}], labels)


def test_a_label_table_of_an_earlier_version_is_read(drawn: Any, as_labels: Any) -> None:
    labels = as_labels(drawn(1)[1])
    older = labels.drop_columns(["tier", "path", "value"])
    old, new = (read_labels(tc.LABELS.read(ds.dataset(table)), BOXES) for table in (older, labels))
    assert old.classes == new.classes
