"""Clocks of a campaign: wall time for people, a seeded clock for simulated labelers. Times are microseconds since the Unix epoch."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from tracecore.errors import UsageError
from tracecore_labeling.provenance import zoned_time

__all__ = ["SECOND", "Clock", "SetClock", "WallClock", "format_time", "parse_time"]

SECOND = 1_000_000
"""Microseconds in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of the current time."""

    def now(self) -> int:
        """Return microseconds since the Unix epoch."""


class WallClock:
    """The machine's time, for people."""

    def now(self) -> int:
        """Return the machine's time in microseconds."""
        return time.time_ns() // 1000


class SetClock:
    """A clock that shows the time it was set to."""

    def __init__(self, start: int) -> None:
        self.time = start

    def now(self) -> int:
        """Return the time it was set to."""
        return self.time


def format_time(time_us: int) -> str:
    """Write a time as RFC 3339 in UTC: `2026-01-05T08:00:00.25Z`."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> int:
    """Read an RFC 3339 time with a zone.

    Raises:
        UsageError: the text is not one.
    """
    time_ = zoned_time(text)
    if time_ is None:
        raise UsageError(f"Expected a time with a zone like 2026-01-05T08:00:00Z, found {text!r}.")
    return (time_ - _EPOCH) // timedelta(microseconds=1)
