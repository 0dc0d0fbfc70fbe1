"""What heads learn of a batch: what a mirror and a zoom do to it, what counts, and how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tracecore_training.objectives import draw_batch, focus_loss, light_loss, path_loss, path_scale, state_weights
from tracecore_training.parameters import Augment
from tracecore_training.targets import draw_focus, draw_targets
from tracecore_training.training_data import UNKNOWN_STATE, Examples

NAN = float("nan")
STAY = Augment(flip=0, zoom=1, zoomed=1, jitter=0)


def examples(count: int = 4) -> Examples:
    images = np.zeros((count, 32, 32, 3), np.uint8)
    boxes = [np.array([[4, 4, 20, 20]], np.float32)] * count
    paths = np.tile(np.array([[0.5, -2.0]], np.float32), (count, 1))
    return Examples(("car",), images, boxes, [np.zeros(1, np.int64)] * count, np.ones(count, bool), paths, np.ones(count, np.int64))


def test_an_image_left_alone_keeps_its_path_and_its_light() -> None:
    batch = draw_batch(examples(), [0, 1], STAY, torch.Generator().manual_seed(2))
    assert batch.paths.tolist() == [[0.5, -2.0]] * 2
    assert batch.states.tolist() == [1, 1]


def test_a_mirrored_image_has_its_path_on_the_other_side_and_the_same_light() -> None:
    batch = draw_batch(examples(), [0, 1], Augment(flip=1, zoom=1, zoomed=1, jitter=0), torch.Generator().manual_seed(2))
    assert batch.paths.tolist() == [[-0.5, 2.0]] * 2
    assert batch.states.tolist() == [1, 1]


def test_a_zoomed_image_teaches_boxes_alone() -> None:
    batch = draw_batch(examples(64), list(range(64)), Augment(flip=0, zoom=2, zoomed=0.5, jitter=0), torch.Generator().manual_seed(2))
    zoomed = ~batch.paths.isfinite().all(dim=1)
    assert 16 < int(zoomed.sum()) < 48
    assert torch.equal(batch.states == UNKNOWN_STATE, zoomed)
    moved = [not np.array_equal(boxes, [[4, 4, 20, 20]]) for boxes in batch.boxes]
    assert moved == zoomed.tolist()


def test_every_batch_has_an_image_that_teaches_path_and_light() -> None:
    for seed in range(20):
        batch = draw_batch(examples(), [0, 1], Augment(flip=0, zoom=2, zoomed=0.99, jitter=0), torch.Generator().manual_seed(seed))
        assert batch.states[0] == 1
        assert batch.paths[0].isfinite().all()


def test_a_path_costs_what_it_is_off_in_units_of_each_distances_scale() -> None:
    scale = torch.tensor([0.5, 2.0])
    assert path_loss(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 1.0]]), scale) == 0
    near, far = (path_loss(offsets, torch.zeros(1, 2), scale).item() for offsets in (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])))
    assert near > far > 0


def test_what_nobody_said_of_a_path_costs_nothing_and_pulls_nowhere() -> None:
    offsets = torch.tensor([[3.0, 1.0], [5.0, 5.0]], requires_grad=True)
    loss = path_loss(offsets, torch.tensor([[NAN, 0.0], [NAN, NAN]]), torch.ones(2))
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    assert offsets.grad is not None
    assert offsets.grad.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert path_loss(offsets, torch.full((2, 2), NAN), torch.ones(2)) == 0


def test_a_light_costs_by_state_and_only_where_somebody_said_it() -> None:
    logits = torch.tensor([[4.0, 0.0], [4.0, 0.0]])
    assert light_loss(logits, torch.tensor([0, UNKNOWN_STATE]), torch.ones(2)) < 0.1
    assert light_loss(logits, torch.tensor([1, UNKNOWN_STATE]), torch.ones(2)) > 3
    assert light_loss(logits, torch.tensor([UNKNOWN_STATE, UNKNOWN_STATE]), torch.ones(2)) == 0
    rare_wrong, common_wrong = (light_loss(logits, torch.tensor([0, 1]), torch.tensor(weights)) for weights in ([1.0, 4.0], [4.0, 1.0]))
    assert rare_wrong > common_wrong


def test_rare_states_count_more_but_not_without_bound_and_unseen_ones_not_at_all() -> None:
    states = np.array([0] * 60 + [1] * 30 + [2] + [UNKNOWN_STATE] * 9)
    weights = state_weights(states, 4)
    assert weights[0] * 60 == pytest.approx(weights[1].item() * 30)
    assert weights[2] == 6
    assert weights[3] == 0


def test_the_scale_of_a_distance_is_how_far_paths_lie_from_straight_there() -> None:
    scale = path_scale(np.array([[0.0, 3.0, NAN], [0.0, -4.0, NAN]], np.float32))
    assert scale.tolist() == pytest.approx([0.1, (12.5) ** 0.5, 0.1])


def test_an_image_where_nobody_looked_for_objects_counts_neither_for_nor_against() -> None:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    targets = draw_targets([nothing[0]] * 2, [nothing[1]] * 2, count=1, height=32, width=32, fully_labeled=np.array([True, False]))
    assert targets.counted[0].min() == 1
    assert targets.counted[1].max() == 0


def test_the_light_is_looked_for_in_the_largest_box_of_its_class() -> None:
    boxes = [np.array([[0, 0, 4, 4], [8, 8, 15, 19], [0, 0, 30, 30]], np.float32), np.array([[0, 0, 30, 30]], np.float32)]
    cells = draw_focus(boxes, [np.array([1, 1, 0]), np.array([0])], 1, (2, 8, 8))
    assert cells[0].nonzero().tolist() == [[row, column] for row in (2, 3, 4) for column in (2, 3)]
    assert not cells[1].any()


def test_looking_at_the_light_costs_nothing_and_looking_elsewhere_much() -> None:
    cells = torch.zeros(2, 4, 4, dtype=torch.bool)
    cells[0, 1, 2] = True
    right = torch.zeros(2, 4, 4)
    right[0, 1, 2] = 20
    assert focus_loss(right, cells) < 1e-4
    assert focus_loss(-right, cells) > 15
    assert focus_loss(torch.zeros(2, 4, 4), cells).item() == pytest.approx(np.log(16))


def test_an_image_without_a_light_teaches_nothing_of_where_to_look() -> None:
    focus = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = focus_loss(focus, torch.zeros(2, 4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert focus.grad is not None
    assert focus.grad.abs().max() == 0
