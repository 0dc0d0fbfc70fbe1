"""Check suites over the built-in tables, as data in Great Expectations' vocabulary.

The kernel runs each suite with Great Expectations and records it as a separate run. Stages choose the suites of their outputs
(`Output("dataset", checks=["not_empty", "unique_frame_ids"])`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracecore_schemas.kinds import Severity

__all__ = ["EVENT_TYPES", "SUITES", "Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """A named check suite; `expectations` are `{"type": "expect_…", "kwargs": {…}}` in Great Expectations' vocabulary."""

    name: str
    description: str
    expectations: tuple[Mapping[str, Any], ...]
    severity: Severity = Severity.BLOCKING


def _expect(type_: str, **kwargs: Any) -> Mapping[str, Any]:
    return {"type": type_, "kwargs": kwargs}


def _not_null(*columns: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(_expect("expect_column_values_to_not_be_null", column=column) for column in columns)


def _between(column: str, low: float | None, high: float | None = None, *, strict_min: bool = False) -> Mapping[str, Any]:
    return _expect("expect_column_values_to_be_between", column=column, min_value=low, max_value=high, strict_min=strict_min)


def _greater(column: str, than: str) -> Mapping[str, Any]:
    return _expect("expect_column_pair_values_a_to_be_greater_than_b", column_A=column, column_B=than, ignore_row_if="either_value_is_missing")


EVENT_TYPES = ("false_positive", "miss", "wrong_class", "wrong_state", "off_path", "lost_track", "false_track")
"""Types of perception errors."""

_NOT_EMPTY = _expect("expect_table_row_count_to_be_between", min_value=1)

SUITES: tuple[Suite, ...] = (
    Suite("not_empty", "The table has at least one row.", (_NOT_EMPTY,)),
    Suite(
        "unique_frame_ids",
        "No frame stands twice in the table.",
        (*_not_null("frame_id"), _expect("expect_column_values_to_be_unique", column="frame_id")),
    ),
    Suite(
        "unique_label_ids",
        "No label stands twice in the same revision.",
        (*_not_null("label_id"), _expect("expect_compound_columns_to_be_unique", column_list=["label_id", "revision"])),
    ),
    Suite(
        "frames_complete",
        "Every frame has a drive, a sensor, a time, a size and a mean luma from 0 to 1.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "frame_id", "encoding", "drive_log"),
            _between("luma", 0, 1),
            _between("width", 1),
            _between("height", 1),
            _expect("expect_column_values_to_match_regex", column="dhash", regex="^[0-9a-f]{16}$"),
        ),
    ),
    Suite(
        "signals_complete",
        "Every signal message has a drive, a topic and a time, and none stands twice.",
        (
            *_not_null("drive", "topic", "timestamp_ns", "sequence"),
            _expect("expect_compound_columns_to_be_unique", column_list=["drive", "topic", "sequence"]),
        ),
    ),
    Suite(
        "labels_in_image",
        "Every box has a size and begins inside its image.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "frame_id", "geometry"),
            _between("width", 0, strict_min=True),
            _between("height", 0, strict_min=True),
            _between("x", 0),
            _between("y", 0),
            _greater("image_width", "x"),
            _greater("image_height", "y"),
        ),
    ),
    Suite(
        "events_complete",
        "Every event names its frame, its type and its class, and none stands twice.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "frame_id", "event_id", "type", "category"),
            _expect("expect_column_values_to_be_unique", column="event_id"),
            _expect(
                "expect_column_values_to_be_in_set",
                column="type",
                value_set=list(EVENT_TYPES),
            ),
        ),
    ),
    Suite(
        "sweeps_complete",
        "Every LiDAR sweep has a drive, a sensor, a time and its number of points, and none stands twice.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "sweep_id", "points", "drive_log"),
            _expect("expect_column_values_to_be_unique", column="sweep_id"),
            _between("points", 0),
        ),
    ),
    Suite(
        "calibrations_complete",
        "Every calibration names its drive, its sensor, its frame and its source, and none stands twice.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "frame", "source"),
            _expect("expect_compound_columns_to_be_unique", column_list=["drive", "sensor", "timestamp_ns"]),
        ),
    ),
    Suite(
        "detections_complete",
        "Every detection names its frame and what it is, and none stands twice.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "frame_id", "number", "geometry"),
            _expect("expect_compound_columns_to_be_unique", column_list=["frame_id", "number"]),
            _expect("expect_column_values_to_be_in_set", column="geometry", value_set=["box2d", "path", "tag", "none"]),
        ),
    ),
    Suite(
        "tracks_complete",
        "Every object of a track names its frame, its side and its track, and none stands twice on a frame.",
        (
            *_not_null("drive", "sensor", "timestamp_ns", "frame_id", "side", "track", "category", "counted"),
            _expect("expect_compound_columns_to_be_unique", column_list=["frame_id", "side", "track"]),
            _expect("expect_column_values_to_be_in_set", column="side", value_set=["truth", "seen"]),
        ),
    ),
    Suite(
        "scores_in_range",
        "Scores and overlaps lie from 0 to 1.",
        (_between("score", 0, 1), _between("iou", 0, 1)),
    ),
)
"""Every built-in suite."""
