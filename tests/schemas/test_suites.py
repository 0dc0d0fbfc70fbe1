"""Check suites are data: well-formed, named once, over columns that the shared tables have."""

import pytest

from tracecore_schemas.arrow_tables import CALIBRATIONS, DETECTIONS, EVENTS, FRAMES, LABELS, SIGNALS, SWEEPS, TRACKS
from tracecore_schemas.suites import SUITES

COLUMNS = {name for schema in (FRAMES, SIGNALS, LABELS, EVENTS, SWEEPS, CALIBRATIONS, DETECTIONS, TRACKS) for name in schema.names}


def test_every_suite_has_a_name_of_its_own() -> None:
    assert len({suite.name for suite in SUITES}) == len(SUITES)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_says_what_it_is_for_and_asks_for_columns_that_exist(suite) -> None:
    assert suite.description.endswith(".")
    assert suite.expectations
    for expectation in suite.expectations:
        assert set(expectation) == {"type", "kwargs"}
        named = [expectation["kwargs"].get(key) for key in ("column", "column_A", "column_B")] + expectation["kwargs"].get("column_list", [])
        assert {name for name in named if name} <= COLUMNS


def test_no_suite_reads_the_images() -> None:
    assert all("image" not in str(expectation["kwargs"].get("column")).split("_") for suite in SUITES for expectation in suite.expectations)
