"""What is read of a label table for each head, and what is recorded of the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest

from tracecore import UsageError
from tracecore_training.parameters import Heads, LightHead, ObstacleHead, PathHead
from tracecore_training.training_data import UNKNOWN_STATE, LabelTable, offsets_at, read_examples, read_labels

Rows = list[dict[str, Any]]
STATES = ("none", "red", "yellow", "green")
STRAIGHT = [5.0, 0.5, 10.0, 1.0, 20.0, 2.0, 30.0, 3.0]


@pytest.fixture
def read(as_labels: Callable[[Rows], Any]) -> Callable[..., LabelTable]:
    def run(labels: Rows, **wanted: Any) -> LabelTable:
        heads = Heads(
            obstacles=ObstacleHead() if wanted.get("obstacles") else None,
            path=PathHead(ahead_m=wanted["ahead_m"]) if "ahead_m" in wanted else None,
            light=LightHead(states=wanted["states"]) if "states" in wanted else None,
        )
        return read_labels(ds.dataset(as_labels(labels)), heads)

    return run


@pytest.fixture
def path_label(make_label: Any) -> Callable[..., dict[str, Any]]:
    def make(frame: str, path: list[float], **other: Any) -> dict[str, Any]:
        return make_label(frame, f"{frame} path", None, None, **({"geometry": "path", "path": path} | other))

    return make


@pytest.fixture
def tag(make_label: Any) -> Callable[..., dict[str, Any]]:
    def make(frame: str, value: str | None, **other: Any) -> dict[str, Any]:
        return make_label(frame, f"{frame} light", "light_state", None, **({"geometry": "tag", "value": value} | other))

    return make


def test_a_path_is_read_where_it_crosses_each_distance() -> None:
    assert offsets_at(STRAIGHT, (2.5, 5, 15, 30)).tolist() == pytest.approx([0.25, 0.5, 1.5, 3.0])


def test_a_path_is_drawn_on_a_little_beyond_its_end_and_no_further() -> None:
    offsets = offsets_at([5.0, 0.0, 10.0, 1.0], (10.9, 11.5, 12))
    assert offsets[0] == pytest.approx(1.18)
    assert np.isnan(offsets[1:]).all()


def test_a_path_that_turns_back_ends_where_it_turns() -> None:
    offsets = offsets_at([5.0, 1.0, 8.0, 4.0, 6.0, 7.0], (5, 8, 20))
    assert offsets[:2].tolist() == [1, 4]
    assert np.isnan(offsets[2])


def test_each_head_reads_its_own_labels(read: Any, make_label: Any, path_label: Any, tag: Any) -> None:
    labels = [make_label("a", "box", "car", (10, 10, 20, 20)), path_label("b", STRAIGHT), tag("c", "red"), make_label("d", "x", "weather", None)]
    labels[-1] |= {"geometry": "tag", "value": "rain"}
    table = read(labels, obstacles=True, ahead_m=(5, 30), states=STATES)
    assert (set(table.boxes), set(table.paths), table.states) == ({"a"}, {"b"}, {"c": 1})
    assert table.frames == {"a", "b", "c"}
    assert table.paths["b"].tolist() == pytest.approx([0.5, 3.0])
    assert read(labels, states=STATES).frames == {"c"}


def test_the_last_revision_counts_and_a_rejected_label_says_nothing(read: Any, tag: Any) -> None:
    labels = [tag("a", "red"), tag("a", "green", revision=1), tag("b", "red"), tag("b", "green", revision=1, qa="rejected")]
    table = read(labels, states=STATES)
    assert table.states == {"a": 3}
    assert table.unusable["rejected_labels"] == 1


def test_frames_that_lack_a_heads_label_are_examples_for_the_other_heads_alone(
    read: Any, drawn: Any, as_frames: Any, make_label: Any, path_label: Any, tag: Any
) -> None:
    frames, _ = drawn(3)
    a, b, c = (frame["frame_id"] for frame in frames)
    labels = [make_label(a, "box", "car", (10, 10, 20, 20)), path_label(b, STRAIGHT[:4]), tag(c, "green")]
    table = read(labels, obstacles=True, ahead_m=(5, 30), states=STATES)
    examples = read_examples(ds.dataset(as_frames(frames)), table, height=64, width=96)
    assert examples.fully_labeled.tolist() == [True, False, False]
    assert np.isfinite(examples.paths).tolist() == [[False, False], [True, False], [False, False]]
    assert examples.states.tolist() == [UNKNOWN_STATE, UNKNOWN_STATE, 3]


def test_a_head_without_any_label_is_a_clear_error(read: Any, make_label: Any, path_label: Any, tag: Any) -> None:
    box = make_label("a", "box", "car", (10, 10, 20, 20))
    with pytest.raises(UsageError, match=r"nothing for the head 'path' to learn: the labels hold 0 paths, and none reaches 5 m ahead"):
        read([box], ahead_m=(5, 10))
    with pytest.raises(UsageError, match=r"the labels hold 1 paths, and none reaches 40 m ahead"):
        read([path_label("a", STRAIGHT)], ahead_m=(40,))
    with pytest.raises(UsageError, match=r"head 'light' to learn: no label .* has one of the values none, red, yellow, green; found blue"):
        read([tag("a", "blue")], states=STATES)
    with pytest.raises(UsageError, match=r"found nothing\. Supply such labels, or leave the head out"):
        read([box], states=STATES)
