"""The sensors of a drive as their calibrations place them: where a camera shows what lies in the vehicle's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracecore.geometry import project, transform

__all__ = ["Camera", "Rig"]

Floats = NDArray[np.float64]
_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame", "projection", "to_vehicle"]


@dataclass(frozen=True, slots=True)
class Camera:
    """How a camera sees.

    Attributes:
        projection: 3x4, optical frame to px.
        from_vehicle: 4x4, vehicle's frame to optical frame; None where nobody says how the camera stands in the vehicle.
    """

    projection: Floats
    from_vehicle: Floats | None

    def of_own(self, points: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
        """Project points (N, 3) of the camera's optical frame; also say which lie ahead of it."""
        return project(points, self.projection)

    def of_vehicle(self, points: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
        """Project points (N, 3) of the vehicle's frame; none is ahead where nobody says how the camera stands in it."""
        if self.from_vehicle is None:
            count = len(np.asarray(points))
            return np.zeros((count, 2)), np.zeros(count, dtype=bool)
        return project(transform(points, self.from_vehicle), self.projection)

    def ground(self, path: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Give where points on the road (x and y by turns, m) are on the image; those that are not ahead are left out."""
        flat = np.asarray(path, dtype=np.float64).reshape(-1, 2)
        at, ahead = self.of_vehicle(np.column_stack([flat, np.zeros(len(flat))]))
        return tuple((float(u), float(v)) for u, v in at[ahead])


class Rig:
    """The calibrations of some drives.

    Args:
        rows: of the table `tracecore_schemas.tables.CALIBRATIONS`, as mappings.
    """

    def __init__(self, rows: Sequence[dict[str, Any]] = ()) -> None:
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"])):
            self._rows.setdefault((row["drive"], row["sensor"]), []).append(row)
            # A cuboid names its frame by the sensor or by the sensor's coordinate frame.
            if row["frame"] != row["sensor"]:
                self._rows.setdefault((row["drive"], row["frame"]), []).append(row)

    @classmethod
    def read(cls, table: Any, drives: Sequence[str] | None = None) -> Rig:
        """Read a calibration table (`pyarrow.dataset.Dataset`), of some drives only where named; no table gives no calibrations."""
        if table is None:
            return cls()
        rows = table.to_table(columns=_COLUMNS).to_pylist()
        wanted = None if drives is None else set(drives)
        return cls([row for row in rows if wanted is None or row["drive"] in wanted])

    def camera(self, drive: str, sensor: str, timestamp_ns: int) -> Camera | None:
        """Give how a camera sees at a time, None where it was not calibrated."""
        row = self._at(drive, sensor, timestamp_ns)
        if row is None or not row["projection"]:
            return None
        placed = self.to_vehicle(drive, sensor, timestamp_ns)
        return Camera(
            np.asarray(row["projection"], dtype=np.float64).reshape(3, 4), None if placed is None else np.asarray(np.linalg.inv(placed), np.float64)
        )

    def to_vehicle(self, drive: str, sensor: str, timestamp_ns: int) -> Floats | None:
        """Give the 4x4 from a sensor's frame (named by sensor or frame) to the vehicle's, None where nobody says it; `vehicle` is its own."""
        if sensor == "vehicle":
            return np.eye(4)
        row = self._at(drive, sensor, timestamp_ns)
        if row is None or not row["to_vehicle"]:
            return None
        return np.asarray(row["to_vehicle"], dtype=np.float64).reshape(4, 4)

    def _at(self, drive: str, sensor: str, timestamp_ns: int) -> dict[str, Any] | None:
        """The last calibration from before that time, else the first there is."""
        rows = self._rows.get((drive, sensor), [])
        return next((row for row in reversed(rows) if row["timestamp_ns"] <= timestamp_ns), rows[0] if rows else None)
