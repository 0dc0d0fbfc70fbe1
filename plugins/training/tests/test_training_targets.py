"""Targets of the detector, and how far off it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tracecore_training.objectives import center_loss, side_loss
from tracecore_training.targets import IGNORED, Targets, draw_targets


def targets_of(*boxes: tuple[float, float, float, float], classes: tuple[int, ...]) -> Targets:
    return draw_targets([np.array(boxes, np.float32).reshape(-1, 4)], [np.array(classes, np.int64)], count=2, height=64, width=96)


def perfect_logits(targets: Targets) -> torch.Tensor:
    return torch.where(targets.heat == 1, 12.0, -12.0)


def test_a_box_has_its_peak_at_its_center_cell_of_its_own_class() -> None:
    targets = targets_of((10, 20, 30, 52), classes=(1,))
    assert targets.heat[0, 1].argmax() == (36 // 4) * 24 + 20 // 4
    assert targets.heat[0, 1].max() == 1
    assert targets.heat[0, 0].max() == 0
    assert targets.objects == 1


def test_every_weighted_cell_knows_the_same_box() -> None:
    targets = targets_of((10, 20, 50, 60), classes=(0,))
    rows, columns = np.nonzero(targets.weight[0].numpy())
    assert len(rows) > 4
    for row, column in zip(rows, columns, strict=True):
        left, top, right, bottom = targets.sides[0, :, row, column].tolist()
        x, y = column * 4 + 2, row * 4 + 2
        assert (x - left, y - top, x + right, y + bottom) == (10, 20, 50, 60)


def test_where_boxes_overlap_the_cell_learns_the_smaller_one() -> None:
    targets = targets_of((40, 24, 48, 36), (0, 0, 88, 60), classes=(0, 0))
    row, column = 30 // 4, 44 // 4
    assert targets.sides[0, :, row, column].tolist() == [column * 4 + 2 - 40, row * 4 + 2 - 24, 48 - column * 4 - 2, 36 - row * 4 - 2]


def test_a_box_that_stands_for_many_objects_counts_neither_for_nor_against() -> None:
    targets = targets_of((8, 8, 40, 40), classes=(IGNORED,))
    assert targets.objects == 0
    assert targets.counted[0, 0, 4, 4] == 0
    wrong = torch.full((1, 2, 16, 24), -12.0)
    wrong[0, :, 4, 4] = 12.0
    assert center_loss(wrong, targets) < 1e-3


def test_a_right_answer_costs_next_to_nothing() -> None:
    targets = targets_of((10, 20, 30, 52), (60, 10, 80, 40), classes=(1, 0))
    assert center_loss(perfect_logits(targets), targets) < 1e-3
    assert side_loss(targets.sides.clamp(min=0.01), targets) < 1e-4


def test_a_miss_and_a_false_alarm_cost_more_than_a_right_answer() -> None:
    targets = targets_of((10, 20, 30, 52), classes=(1,))
    right = perfect_logits(targets)
    alarm = right.clone()
    alarm[0, 0, 1, 1] = 12.0
    assert center_loss(torch.full_like(right, -12.0), targets) > 5
    assert center_loss(alarm, targets) > 5


def test_boxes_beside_each_other_cost_more_the_farther_apart_they_are() -> None:
    targets = targets_of((40, 20, 60, 40), classes=(0,))
    costs = []
    for shift in (0, 4, 12, 30):
        sides = targets.sides + torch.tensor([shift, 0.0, -shift, 0.0])[None, :, None, None]
        costs.append(side_loss(sides, targets).item())
    assert costs == sorted(costs)
    assert costs[-1] > 1 > costs[0]


def test_a_batch_without_any_object_costs_something_finite() -> None:
    targets = draw_targets([np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)], count=2, height=64, width=96)
    logits, sides = torch.zeros(1, 2, 16, 24), torch.ones(1, 4, 16, 24)
    assert torch.isfinite(center_loss(logits, targets))
    assert side_loss(sides, targets) == 0


@pytest.mark.parametrize("box", [(0, 0, 96, 64), (0, 0, 1, 1), (95, 63, 96, 64), (30, 0, 31, 64)])
def test_a_box_of_any_size_at_any_edge_gets_one_peak(box: tuple[float, float, float, float]) -> None:
    targets = targets_of(box, classes=(0,))
    assert (targets.heat == 1).sum() == 1
    assert torch.isfinite(targets.weight).all()
    assert targets.weight.sum() > 0
