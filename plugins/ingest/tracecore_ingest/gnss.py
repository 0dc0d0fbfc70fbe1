"""GNSS fixes of a drive: the nearest to a time, their bounds, and whether they confirm the drive's clock."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Bounds", "Fixes", "utc_of"]

NEAR_NS = 5_000_000_000  # a fix more than 5 s from a frame does not locate it
AGREES_NS = 60_000_000_000  # log times and GNSS times agree within a minute: receivers may count GPS time (18 s ahead of UTC in 2026) and lag


class Bounds(NamedTuple):
    """Bounding box of a drive's fixes, WGS 84 degrees."""

    south: float
    west: float
    north: float
    east: float


@dataclass(slots=True)
class Fixes:
    """GNSS fixes of one drive, from all topics: log times in ns, positions in WGS 84 degrees."""

    times: array[int] = field(default_factory=lambda: array("q"))
    latitudes: array[float] = field(default_factory=lambda: array("d"))
    longitudes: array[float] = field(default_factory=lambda: array("d"))
    _lags: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.times)

    def see(self, log_time: int, message: Any) -> None:
        """Add the GNSS fix in a message with `latitude` and `longitude` in degrees; messages without a valid fix (such as 0, 0) are ignored."""
        if type(message) is not dict or "latitude" not in message:
            return
        status = message.get("status")
        if isinstance(status, dict) and (_number(status.get("status")) or 0) < 0:  # sensor_msgs/NavSatStatus: -1 without a fix
            return
        latitude, longitude = _number(message.get("latitude")), _number(message.get("longitude"))
        if latitude is None or longitude is None:
            return
        if abs(latitude) > 90 or abs(longitude) > 180 or (latitude == 0 and longitude == 0):
            return
        self.times.append(log_time)
        self.latitudes.append(latitude)
        self.longitudes.append(longitude)
        utc = utc_of(message)
        if utc is not None and abs(log_time - utc) < 1 << 62:
            self._lags.append(log_time - utc)

    def join(self, other: Fixes) -> None:
        """Add the GNSS fixes in another file of the same drive."""
        self.times.extend(other.times)
        self.latitudes.extend(other.latitudes)
        self.longitudes.extend(other.longitudes)
        self._lags.extend(other._lags)

    def confirm_clock(self) -> bool:
        """Whether log times differ from the GNSS receivers' times by at most a minute (median); False if no receiver sent a time."""
        return bool(self._lags) and abs(float(np.median(np.asarray(self._lags)))) <= AGREES_NS

    def bounds(self) -> Bounds | None:
        """Return the bounding box of all GNSS fixes; None if there are none."""
        if not len(self):
            return None
        return Bounds(min(self.latitudes), min(self.longitudes), max(self.latitudes), max(self.longitudes))

    def nearest(self, times: npt.NDArray[np.int64]) -> list[tuple[float, float] | None]:
        """Return (latitude, longitude) of the fix nearest to each time in ns; None for times without a fix within 5 s."""
        if not len(self):
            return [None] * len(times)
        order = np.argsort(np.asarray(self.times), kind="stable")
        known = np.asarray(self.times)[order]
        latitudes, longitudes = np.asarray(self.latitudes)[order], np.asarray(self.longitudes)[order]
        after = np.clip(np.searchsorted(known, times), 0, len(known) - 1)
        before = np.clip(after - 1, 0, None)
        nearest = np.where(np.abs(known[before] - times) <= np.abs(known[after] - times), before, after)
        near = np.abs(known[nearest] - times) <= NEAR_NS
        return [(float(latitudes[i]), float(longitudes[i])) if ok else None for i, ok in zip(nearest, near, strict=True)]


def utc_of(message: dict[str, Any]) -> int | None:
    """Return a GNSS receiver's time, ns since the Unix epoch, from a fix's `utc_timestamp_ms` or `timestamp`; None if neither is valid."""
    milliseconds = _number(message.get("utc_timestamp_ms"))
    if milliseconds:
        return int(milliseconds * 1_000_000)
    stamp = message.get("timestamp")
    if isinstance(stamp, dict) and (seconds := _number(stamp.get("sec"))):
        return int(seconds) * 1_000_000_000 + int(_number(stamp.get("nsec")) or 0)
    if isinstance(stamp, str):
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        return int(moment.timestamp() * 1_000_000_000) if moment.tzinfo and moment.timestamp() else None
    return None


def _number(value: Any) -> float | None:
    """Return the value if it is a finite int or float; None for any other value, booleans included."""
    return value if type(value) in (int, float) and math.isfinite(value) else None
