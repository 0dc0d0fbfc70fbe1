"""Times as RFC 3339 text in UTC with six decimals, so that text order is time order."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["instant", "now", "parse_instant"]

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)


def instant(moment: datetime) -> str:
    """Return a time as `2026-11-22T15:39:45.000000Z`; a naive datetime is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")  # strftime leaves years below 1000 unpadded


def now() -> str:
    """Return the current time as RFC 3339 text in UTC with six decimals."""
    return instant(datetime.now(UTC))


def parse_instant(text: str) -> str:
    """Convert an RFC 3339 time with an offset to UTC with six decimals, cutting further digits. Raises ValueError if the text is not a time."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"expected an RFC 3339 time with an offset, such as 2026-11-22T15:39:45Z, found {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    if second == 60:  # a leap second, which RFC 3339 allows and datetime doesn't: the last microsecond before it
        second, micros = 59, 999_999
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    if offset >= timedelta(hours=24) or int(match[10] or 0) > 59:
        raise ValueError(f"expected an offset below 24 hours, found {text!r}")
    try:
        return instant(datetime(year, month, day, hour, minute, second, micros, timezone(-offset if match[8] == "-" else offset)))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"expected a time of the calendar, found {text!r} ({error})") from None
