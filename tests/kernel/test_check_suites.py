"""Suites run by the real Great Expectations over real tables."""

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from tracecore.errors import UsageError
from tracecore.plugins.built_in_checks import validate
from tracecore_schemas.arrow_tables import CALIBRATIONS, DETECTIONS, EVENTS, FRAMES, LABELS, SIGNALS, SWEEPS, TRACKS
from tracecore_schemas.suites import SUITES

UNIQUE = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "frame_id"}}
ROWS = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}


def dataset(**columns: list[object]) -> ds.Dataset:
    return ds.dataset(pa.table(columns))


def test_a_table_as_it_should_be_passes_with_one_outcome_an_expectation() -> None:
    result = validate("frames", [UNIQUE, ROWS], dataset(frame_id=["a", "b"]))
    assert result.success
    assert [outcome.assertion for outcome in result.outcomes] == [UNIQUE["type"], ROWS["type"]]
    assert result.message == "All 2 expectations hold over 2 rows."


def test_a_failure_names_the_column_the_count_and_the_values() -> None:
    result = validate("frames", [ROWS, UNIQUE], dataset(frame_id=["a", "b", "b"]))
    assert not result.success
    assert [outcome.success for outcome in result.outcomes] == [True, False]
    assert "expect_column_values_to_be_unique of frame_id: 2 of 3 values are not as expected: b" in result.message


def test_an_empty_table_fails_by_its_row_count_and_nothing_else() -> None:
    result = validate("frames", [UNIQUE, ROWS], ds.dataset(pa.table({"frame_id": pa.array([], pa.string())})))
    assert [outcome.success for outcome in result.outcomes] == [True, False]


def test_a_column_that_is_not_there_is_a_failed_expectation() -> None:
    result = validate("frames", [UNIQUE, ROWS], dataset(other=[1]))
    assert [outcome.success for outcome in result.outcomes] == [False, True]
    assert result.outcomes[0].actual == "no such column"


def test_an_expectation_that_does_not_exist_is_refused_with_the_suites_name() -> None:
    with pytest.raises(UsageError, match="Check 'odd' is not a suite that Great Expectations understands"):
        validate("odd", [{"type": "expect_the_unexpected", "kwargs": {}}], dataset(frame_id=["a"]))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_every_built_in_suite_is_understood_over_a_table_it_is_meant_for(suite) -> None:
    schemas = [FRAMES, SIGNALS, LABELS, EVENTS, SWEEPS, CALIBRATIONS, DETECTIONS, TRACKS]
    columns = {
        name
        for expectation in suite.expectations
        for name in (expectation["kwargs"].get("column"), *expectation["kwargs"].get("column_list", ()))
        if name is not None
    }
    schema = next(schema for schema in schemas if columns <= set(schema.names))
    result = validate(suite.name, suite.expectations, ds.dataset(schema.schema.empty_table()))
    assert "could not be judged" not in result.message, result.message
