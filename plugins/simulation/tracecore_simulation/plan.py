"""Which drives are drawn: where and when each takes place, so that a split by drive shares neither place nor time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["DrivePlan", "plan_drives"]

TIMES = ("day", "night", "dusk", "day", "night")


@dataclass(frozen=True, slots=True)
class _Region:
    name: str
    city: str
    latitude: float
    longitude: float
    side: int
    utc_hours: int


_REGIONS = (
    _Region("DE", "stuttgart", 48.7758, 9.1829, 1, 2),
    _Region("JP", "yokohama", 35.4437, 139.6380, -1, 9),
    _Region("US", "sunnyvale", 37.3688, -122.0363, 1, -7),
    _Region("GB", "cambridge", 52.2053, 0.1218, -1, 1),
    _Region("FR", "lyon", 45.7640, 4.8357, 1, 2),
)
_HOURS = {"day": 11, "dusk": 18, "night": 21}  # local time


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """One drive to be drawn.

    Attributes:
        name: of the drive, and of its file.
        region: ISO 3166 code and city.
        time_of_day: day, dusk or night.
        side: of the road one drives on: 1 right, -1 left.
        latitude: where it starts, degrees north.
        longitude: where it starts, degrees east.
        start: when it starts.
        number: its place in the plan, from 0.
    """

    name: str
    region: str
    time_of_day: str
    side: int
    latitude: float
    longitude: float
    start: datetime
    number: int

    @property
    def start_ns(self) -> int:
        """When it starts, in ns since the Unix epoch."""
        return int(self.start.timestamp()) * 1_000_000_000


def plan_drives(count: int) -> list[DrivePlan]:
    """Plan drives through five cities by day, dusk and night; each further round is on later days and 5 km away.

    Args:
        count: how many.
    """
    found = []
    for number in range(count):
        region, round_ = _REGIONS[number % len(_REGIONS)], number // len(_REGIONS)
        time = TIMES[(number + round_) % len(TIMES)]
        local = datetime(2026, 10, 2, _HOURS[time], 14, tzinfo=UTC) + timedelta(days=3 * number)
        found.append(
            DrivePlan(
                name=f"{region.city}-{time}" + (f"-{round_ + 1}" if round_ else ""),
                region=f"{region.name}-{region.city.title()}",
                time_of_day=time,
                side=region.side,
                latitude=region.latitude + 0.045 * round_,
                longitude=region.longitude,
                start=local - timedelta(hours=region.utc_hours),
                number=number,
            )
        )
    return found
