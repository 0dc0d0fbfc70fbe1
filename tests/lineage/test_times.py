"""Times of the record are UTC with six decimals, whatever an event wrote."""

from __future__ import annotations

import pytest

from tracecore_lineage.model import rfc3339


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-22T15:39:45Z", "2026-11-22T15:39:45.000000Z"),
        ("2024-11-26T13:05:23.809955+00:00", "2024-11-26T13:05:23.809955Z"),
        ("2018-08-02t09:14:00.5-07:00", "2018-08-02T16:14:00.500000Z"),
        ("2026-01-01T00:30:00+05:45", "2025-12-31T18:45:00.000000Z"),
        ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000000Z"),
    ],
)
def test_a_time_with_an_offset_is_read(written: str, read: str) -> None:
    assert rfc3339.parse_instant(written) == read


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-22T15:39:45",
        "2026-11-22",
        "2026-13-01T00:00:00Z",
        "2026-11-22T25:00:00Z",
        "now",
        "2026-11-22T15:39:45+0100",
        "0001-01-01T00:00:00+14:00",
        "2026-11-22T15:39:45+24:00",
        "\uff12\uff10\uff12\uff16-11-22T15:39:45Z",  # full-width digits
        "{{RUN_START_TIME}}",
    ],
)
def test_what_is_no_moment_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        rfc3339.parse_instant(written)


def test_times_sort_as_texts() -> None:
    assert rfc3339.now() <= rfc3339.now()
    assert len(rfc3339.now()) == 27
