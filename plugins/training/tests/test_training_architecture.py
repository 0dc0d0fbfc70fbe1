"""The detector's shapes and its decoding."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
import torch

from tracecore_training.architecture import MultiTask, center_detector, decode
from tracecore_training.model_files import model_config
from tracecore_training.parameters import Heads, ObstacleHead


def test_the_architecture_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="tracecore.models", name="center-detector")
    config = model_config("center-detector", Heads(obstacles=ObstacleHead(detections=20)), ["a", "b"], size=(64, 96), multiplier=0.25)
    assert entry.load() is center_detector
    assert isinstance(entry.load()(config), MultiTask)


@pytest.mark.parametrize(("height", "width"), [(176, 240), (64, 96), (48, 80), (112, 32)])
def test_any_allowed_size_gives_boxes_inside_the_image_best_first(height: int, width: int) -> None:
    torch.manual_seed(0)
    detector = MultiTask(3, width=0.25, detections=30).eval()
    with torch.no_grad():
        boxes, scores, classes = detector(torch.rand(2, 3, height, width))
    assert boxes.shape == (2, 30, 4)
    assert scores.shape == classes.shape == (2, 30)
    assert classes.dtype == torch.int64
    assert ((classes >= 0) & (classes < 3)).all()
    assert (scores.diff(dim=1) <= 0).all()
    assert (boxes >= 0).all()
    assert (boxes[..., 0::2] <= width).all()
    assert (boxes[..., 1::2] <= height).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()


def test_a_peak_is_decoded_to_its_box_and_class() -> None:
    logits = torch.full((1, 2, 16, 24), -9.0)
    logits[0, 1, 9, 5] = 3.0
    logits[0, 1, 9, 6] = 2.5  # next to the peak: no object of its own
    logits[0, 0, 2, 20] = 1.0
    sides = torch.ones(1, 4, 16, 24)
    sides[0, :, 9, 5] = torch.tensor([10.0, 18.0, 10.0, 14.0])
    boxes, scores, classes = decode(logits, sides, detections=3, window=3)
    assert boxes[0, 0].tolist() == [12, 20, 32, 52]
    assert classes[0, :2].tolist() == [1, 0]
    assert scores[0].tolist() == pytest.approx(torch.tensor([3.0, 1.0, -9.0]).sigmoid().tolist())


def test_every_cell_and_class_is_decoded_to_itself() -> None:
    rows, columns, classes = 7, 11, 5
    every = rows * columns * classes
    logits = (torch.eye(every) * 14 - 9).view(every, classes, rows, columns)
    boxes, _, found = decode(logits, torch.ones(every, 4, rows, columns), detections=1, window=3)
    for index in range(every):
        category, cell = divmod(index, rows * columns)
        row, column = divmod(cell, columns)
        assert found[index].item() == category
        assert boxes[index, 0].tolist() == [column * 4 + 1, row * 4 + 1, column * 4 + 3, row * 4 + 3]


def test_the_width_multiplies_the_parameters() -> None:
    small, whole, twice = (sum(p.numel() for p in MultiTask(4, width=width).parameters()) for width in (0.5, 1, 2))
    assert small < whole < twice
    assert 800_000 < whole < 900_000
