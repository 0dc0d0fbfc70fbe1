"""Which drives are made: where and when each takes place, so that a split by drive shares neither place nor time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["SCENARIOS", "DrivePlan", "plan_drives"]

SCENARIOS: dict[str, tuple[str, ...]] = {
    "mixed": ("day", "night", "dusk", "day", "night"),
    "day": ("day",),
    "dusk": ("dusk",),
    "night": ("night",),
}
"""Sets of scenarios: the times of day that drives go through by turns."""


@dataclass(frozen=True, slots=True)
class _Region:
    name: str
    city: str
    latitude: float
    longitude: float
    side: int
    utc_hours: int
    lights: str


_REGIONS = (
    _Region("DE", "stuttgart", 48.7758, 9.1829, 1, 2, "post"),
    _Region("JP", "yokohama", 35.4437, 139.6380, -1, 9, "lying"),
    _Region("US", "sunnyvale", 37.3688, -122.0363, 1, -7, "mast"),
    _Region("GB", "cambridge", 52.2053, 0.1218, -1, 1, "post"),
    _Region("FR", "lyon", 45.7640, 4.8357, 1, 2, "post"),
    _Region("SE", "gothenburg", 57.7089, 11.9746, 1, 2, "mast"),
    _Region("AU", "melbourne", -37.8136, 144.9631, -1, 11, "mast"),
)
_WEATHERS = ("clear", "clear", "overcast", "rain", "clear", "fog", "clear", "overcast", "rain", "clear", "clear")  # as many as no cycle of times
_HOURS = {"day": 11, "dusk": 18, "night": 21}  # local time


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """One drive to be made.

    Attributes:
        name: of the drive, and of its file.
        region: ISO 3166 code and city.
        time_of_day: day, dusk or night.
        weather: clear, overcast, rain or fog.
        side: of the road one drives on: 1 right, -1 left.
        lights: how traffic lights stand there (`layout.LIGHT_STYLES`).
        latitude: where it starts, degrees north.
        longitude: where it starts, degrees east.
        start: when it starts.
        number: its place in the plan, from 0.
    """

    name: str
    region: str
    time_of_day: str
    weather: str
    side: int
    lights: str
    latitude: float
    longitude: float
    start: datetime
    number: int

    @property
    def start_ns(self) -> int:
        """When it starts, in ns since the Unix epoch."""
        return int(self.start.timestamp()) * 1_000_000_000


def plan_drives(count: int, scenarios: str = "mixed", first: int = 0) -> list[DrivePlan]:
    """Plan drives through seven cities, by turns by day, dusk and night; each further round is on later days and 5 km away.

    Args:
        count: how many.
        scenarios: which set of `SCENARIOS`.
        first: number of the first one; the drives before it are as if they had been driven already.
    """
    times = SCENARIOS[scenarios]
    found = []
    for number in range(first, first + count):
        region, round_ = _REGIONS[number % len(_REGIONS)], number // len(_REGIONS)
        time = times[(number + round_) % len(times)]
        local = datetime(2026, 10, 2, _HOURS[time], 14, tzinfo=UTC) + timedelta(days=3 * number)
        found.append(
            DrivePlan(
                name=f"{region.city}-{time}" + (f"-{round_ + 1}" if round_ else ""),
                region=f"{region.name}-{region.city.title()}",
                time_of_day=time,
                weather=_WEATHERS[number % len(_WEATHERS)],
                side=region.side,
                lights=region.lights,
                latitude=region.latitude + 0.045 * round_,
                longitude=region.longitude,
                start=local - timedelta(hours=region.utc_hours),
                number=number,
            )
        )
    return found
