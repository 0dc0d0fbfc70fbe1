"""Clocks of a campaign: the system clock for people, a settable one for simulated labelers. Times are microseconds since the Unix epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
        """Return the current time in microseconds since the Unix epoch."""


class WallClock:
    """The system clock."""

    def now(self) -> int:
        """Return the system time in microseconds since the Unix epoch."""
        return time.time_ns() // 1000


@dataclass(slots=True)
class SetClock:
    """A clock whose time is set by its user, in `time`, microseconds since the Unix epoch."""

    time: int

    def now(self) -> int:
        """Return the time last set on this clock (its field `time`), in microseconds since the Unix epoch."""
        return self.time


def format_time(time_us: int) -> str:
    """Return a time in microseconds since the Unix epoch as RFC 3339 text in UTC: `2026-01-05T08:00:00.25Z`."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> int:
    """Return an RFC 3339 time in microseconds since the Unix epoch. Raises UsageError if the text is not a time with a zone."""
    time_ = zoned_time(text)
    if time_ is None:
        raise UsageError(f"Expected a time with a zone like 2026-01-05T08:00:00Z, found {text!r}.")
    return (time_ - _EPOCH) // timedelta(microseconds=1)
