"""Conditions of frames: what their drives and labels say of them, one list for curation, evaluation and diagnosis."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pyarrow as pa

from tracecore_schemas.conditions import ATTRIBUTE_COLUMNS, frame_conditions


def row(frame: str, label: str, revision: int, **said: str) -> dict[str, Any]:
    return dict(zip(ATTRIBUTE_COLUMNS, (frame, label, revision, list(said.items())), strict=True))


def test_the_last_revision_of_a_label_says_it_whatever_the_order_of_rows() -> None:
    frames = pa.table({"frame_id": ["a", "b"], "conditions": pa.array([[("weather", "clear")]] * 2, pa.map_(pa.string(), pa.string()))})
    labels = [row("a", "1", 0, weather="rain"), row("a", "1", 1, weather="snow"), row("a", "2", 0, road="wet")]
    for ordered in permutations(labels):
        assert frame_conditions(frames, ordered) == {"a": {"weather": "snow", "road": "wet"}, "b": {"weather": "clear"}}


def test_a_condition_that_is_called_as_an_objects_is_told_from_it_and_one_without_a_value_is_none() -> None:
    assert frame_conditions(pa.table({"frame_id": ["a"]}), [row("a", "1", 0, size="large", weather="")]) == {"a": {"frame_size": "large"}}
