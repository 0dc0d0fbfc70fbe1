"""Augmentation moves boxes with what they show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tracecore_training.augmentation import change_images, draw_changes, move_boxes
from tracecore_training.parameters import Augment
from tracecore_training.targets import IGNORED

HEIGHT, WIDTH = 96, 128


def changed(flip: float, zoom: float, jitter: float) -> Augment:
    return Augment(flip=flip, zoom=zoom, zoomed=1, jitter=jitter)


def augment(
    images: np.ndarray, boxes: list[np.ndarray], indices: list[np.ndarray], how: Augment, generator: torch.Generator
) -> tuple[torch.Tensor, list[np.ndarray], list[np.ndarray]]:
    changes = draw_changes(len(images), how, generator)
    return change_images(images, changes, how), *move_boxes(boxes, indices, changes, height=HEIGHT, width=WIDTH)


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A white box on black, and where it is."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[30:60, 20:50] = 255
    return image, np.array([[20, 30, 50, 60]], np.float32)


def test_without_any_change_images_and_boxes_stay_as_they_are() -> None:
    image, box = picture()
    images, boxes, indices = augment(image[None], [box], [np.array([1])], changed(0, 1, 0), torch.Generator().manual_seed(1))
    assert torch.equal(images[0].permute(1, 2, 0), torch.from_numpy(image).float() / 255)
    assert np.array_equal(boxes[0], box)
    assert indices[0].tolist() == [1]


@pytest.mark.parametrize("seed", range(12))
def test_a_box_still_holds_its_object_after_mirror_zoom_and_shift(seed: int) -> None:
    image, box = picture()
    images, boxes, indices = augment(image[None], [box], [np.array([0])], changed(0.5, 1.8, 0), torch.Generator().manual_seed(seed))
    bright = images[0, 0].numpy() > 0.5
    rows, columns = np.nonzero(bright)
    if not len(rows):
        assert not len(boxes[0]) or indices[0].tolist() == [IGNORED]
        return
    assert boxes[0][0] == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=1.6)


def test_mirroring_turns_left_into_right() -> None:
    image, box = picture()
    images, boxes, _ = augment(image[None], [box], [np.array([0])], changed(1, 1, 0), torch.Generator().manual_seed(1))
    assert boxes[0][0] == pytest.approx([WIDTH - 50, 30, WIDTH - 20, 60])
    assert images[0, 0, 45, WIDTH - 35] == 1
    assert images[0, 0, 45, 35] == 0


def test_light_changes_leave_boxes_alone_and_values_in_range() -> None:
    image, box = picture()
    images, boxes, _ = augment(np.stack([image] * 8), [box] * 8, [np.array([0])] * 8, changed(0, 1, 1), torch.Generator().manual_seed(3))
    assert all(np.array_equal(moved, box) for moved in boxes)
    assert images.min() >= 0
    assert images.max() <= 1
    assert not torch.equal(images[0], images[1])


def test_an_object_that_is_mostly_cut_off_is_no_example_any_more() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    box = np.array([[0, 0, 3, 3], [WIDTH - 3, HEIGHT - 3, WIDTH, HEIGHT]], np.float32)
    left = 0
    for seed in range(20):
        _, boxes, indices = augment(image[None], [box], [np.array([0, 0])], changed(0, 4, 0), torch.Generator().manual_seed(seed))
        assert (boxes[0][:, 2:] > boxes[0][:, :2]).all()
        left += int((indices[0] == 0).sum())
    assert left < 40


def test_the_same_generator_gives_the_same_batch() -> None:
    image, box = picture()
    one, other = (augment(image[None], [box], [np.array([0])], changed(0.5, 1.6, 0.4), torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert np.array_equal(one[1][0], other[1][0])
