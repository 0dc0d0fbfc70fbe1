"""Rows become tables by their schema, and a label counts in its last revision."""

from __future__ import annotations

import pytest

from tracecore_schemas.arrow_tables import CALIBRATIONS, Column, TableType, batch_of, last_revisions, table_of


def test_what_a_row_leaves_out_is_null() -> None:
    row = {"drive": "a", "sensor": "/lidar", "timestamp_ns": 1, "frame": "lidar", "source": "/tf_static"}
    table = table_of(CALIBRATIONS, [row])
    assert table.schema.equals(CALIBRATIONS.schema)
    assert table["projection"].to_pylist() == [None]


def test_a_column_that_the_table_does_not_have_and_one_that_is_missing_are_named() -> None:
    with pytest.raises(ValueError, match="the table has no column 'colour'; it has drive, sensor"):
        table_of(CALIBRATIONS, [{"colour": "red"}])
    with pytest.raises(ValueError, match="row 0 lacks 'sensor', which every row must have"):
        table_of(CALIBRATIONS, [{"drive": "a"}])
    with pytest.raises(ValueError, match="the table has no column 'colour'; it has drive, sensor"):
        batch_of(CALIBRATIONS, {"colour": ["red"]})


def test_each_label_is_given_once_in_its_last_revision() -> None:
    rows = [
        {"frame_id": "f2", "label_id": "b", "revision": 1, "qa": "rejected"},
        {"frame_id": "f2", "label_id": "b", "revision": 0, "qa": None},
        {"frame_id": "f1", "label_id": "c"},
    ]
    assert last_revisions(rows) == [rows[2], rows[0]]


def test_a_column_that_is_left_out_has_its_default_in_tables_and_batches() -> None:
    lanes = TableType("lanes", "Lanes.", Column("width", "double", "m"), Column("paved", "bool", "whether", default=True))
    assert table_of(lanes, [{"width": 3.5}]).to_pylist() == [{"width": 3.5, "paved": True}]
    assert batch_of(lanes, {"width": [3.5, 3.0]}).to_pylist() == [{"width": 3.5, "paved": True}, {"width": 3.0, "paved": True}]
    tagged = TableType("tagged", "Tags.", Column("width", "double", "m"), Column("tags", "map<string, string>", "tags"))
    assert table_of(tagged, [{"width": 3.5}]).to_pylist() == batch_of(tagged, {"width": [3.5]}).to_pylist() == [{"width": 3.5, "tags": []}]
