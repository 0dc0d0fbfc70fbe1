"""Conditions of frames: what their drives and labels say of them, one list for curation, evaluation and diagnosis."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pyarrow as pa

from tracecore_schemas.conditions import ATTRIBUTE_COLUMNS, frame_conditions


def frame_table(region: str | None = None, **conditions: list[tuple[str, str]]) -> pa.Table:
    of_frames = pa.array(conditions.values(), pa.map_(pa.string(), pa.string()))
    return pa.table(
        {"frame_id": [*conditions], "region": [region] * len(conditions), "time_of_day": [None] * len(conditions), "conditions": of_frames}
    )


def row(frame: str, label: str, revision: int, **said: str) -> dict[str, Any]:
    return dict(zip(ATTRIBUTE_COLUMNS, (frame, label, revision, list(said.items())), strict=True))


def test_the_last_revision_of_a_label_says_it_whatever_the_order_of_rows() -> None:
    frames = frame_table(a=[("weather", "clear")], b=[("weather", "clear")])
    labels = [row("a", "1", 0, weather="rain"), row("a", "1", 1, weather="snow"), row("a", "2", 0, road="wet")]
    for ordered in permutations(labels):
        assert frame_conditions(frames, ordered) == {"a": {"weather": "snow", "road": "wet"}, "b": {"weather": "clear"}}


def test_a_condition_that_is_called_as_an_objects_is_told_from_it_and_one_without_a_value_is_none() -> None:
    assert frame_conditions(frame_table(a=[]), [row("a", "1", 0, size="large", weather="")]) == {"a": {"frame_size": "large"}}


def test_a_region_of_a_column_of_its_own_counts_where_the_conditions_name_none() -> None:
    assert frame_conditions(frame_table(region="DE", a=[], b=[("region", "JP")])) == {"a": {"region": "DE"}, "b": {"region": "JP"}}
