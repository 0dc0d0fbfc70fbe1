"""Where a drive was, and whether its clock was a real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracecore_ingest.gnss import Bounds, Fixes, utc_of

S = 1_000_000_000
T = 1_533_226_488 * S


def test_a_frame_is_where_the_nearest_fix_was() -> None:
    fixes = Fixes()
    for second, latitude in ((4, 48.2), (0, 48.0), (2, 48.1)):
        fixes.see(T + second * S, {"latitude": latitude, "longitude": 9.0})
    moments = [T - 4 * S, T, T + S, T + S + 1, T + 9 * S, T + 9 * S + 1, T - 6 * S]
    assert fixes.nearest(np.asarray(moments)) == [(48.0, 9.0), (48.0, 9.0), (48.0, 9.0), (48.1, 9.0), (48.2, 9.0), None, None]
    assert fixes.bounds() == Bounds(48.0, 9.0, 48.2, 9.0)


@pytest.mark.parametrize(
    "message",
    [
        {"latitude": 91.0, "longitude": 0.0},
        {"latitude": 10.0, "longitude": -181},
        {"latitude": 0, "longitude": 0.0},
        {"latitude": "48", "longitude": 9.0},
        {"latitude": True, "longitude": 9.0},
        {"latitude": None, "longitude": 9.0},
        {"latitude": 48.0},
        [48.0, 9.0],
    ],
)
def test_what_is_no_fix_is_not_taken_for_one(message: Any) -> None:
    fixes = Fixes()
    fixes.see(T, message)
    assert not len(fixes)
    assert fixes.bounds() is None
    assert fixes.nearest(np.asarray([T])) == [None]


@pytest.mark.parametrize(
    ("message", "utc"),
    [
        ({"utc_timestamp_ms": T / 1e6}, T),
        ({"timestamp": {"sec": T // S, "nsec": 5}}, T + 5),
        ({"timestamp": "2018-08-02T16:14:48Z"}, T),
        ({"timestamp": "2018-08-02T18:14:48+02:00"}, T),
        ({"timestamp": "2018-08-02T16:14:48"}, None),
        ({"timestamp": "yesterday"}, None),
        ({"timestamp": "1970-01-01T00:00:00Z"}, None),
        ({}, None),
    ],
)
def test_the_time_of_a_receiver_is_read_in_the_forms_it_has(message: dict[str, Any], utc: int | None) -> None:
    assert utc_of(message) == utc


def test_a_clock_is_measured_where_receivers_agree_with_it() -> None:
    agreeing, far_off, silent = Fixes(), Fixes(), Fixes()
    for second in range(3):
        place = {"latitude": 48.0, "longitude": 9.0}
        agreeing.see(T + second * S, {**place, "utc_timestamp_ms": (T + second * S) / 1e6 + 18_000})
        far_off.see(T + second * S, {**place, "utc_timestamp_ms": (T + second * S) / 1e6 + 3_600_000})
        silent.see(T + second * S, place)
    assert agreeing.confirm_clock()
    assert not far_off.confirm_clock()
    assert not silent.confirm_clock()
