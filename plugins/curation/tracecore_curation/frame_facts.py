"""Facts of frames that curation compares (all but images), and pairs of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["FACT_COLUMNS", "MEASURED", "UNKNOWN", "FrameFacts", "FramePair", "Pairs", "object_array", "read_facts", "read_names"]

MEASURED = "measured"
"""Value of `clock` of times that can be compared between drives."""

UNKNOWN = ""
"""Drive of a frame whose drive is unknown; no drive has an empty name."""

FACT_COLUMNS = ("frame_id", "drive", "sensor", "timestamp_ns", "index", "clock", "latitude", "longitude")
"""Columns of a table that can be compared."""


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """Frames of one table, sorted by drive, sensor and time; one array entry per frame.

    Attributes:
        times: log time in ns, or the frame's number if the clock is `index`.
        indices: position in the drive and sensor.
        clocks: `measured`, or the drive's own name for its clock.
        places: degrees north and east, (n, 2), NaN if not measured.
    """

    ids: NDArray[np.object_]
    drives: NDArray[np.object_]
    times: NDArray[np.int64]
    indices: NDArray[np.int64]
    clocks: NDArray[np.object_]
    places: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def drive_names(self) -> list[str]:
        """Names of the distinct drives of the frames, sorted."""
        return sorted(set(self.drives.tolist()))

    @property
    def by_drive(self) -> dict[str, NDArray[np.intp]]:
        """Map each drive, in sorted order, to the ascending row numbers of its frames."""
        names, codes = np.unique(self.drives.astype(str), return_inverse=True)
        rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
        return dict(zip(names.tolist(), rows, strict=True)) if len(names) else {}

    @property
    def timed(self) -> NDArray[np.bool_]:
        """Mask of the frames whose clock is `measured`, so that their times can be compared between drives."""
        return np.asarray(self.clocks == MEASURED, dtype=bool)

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Mask of the frames whose latitude and longitude were measured (are finite)."""
        return np.asarray(np.isfinite(self.places).all(axis=1), dtype=bool)

    def take(self, chosen: NDArray[Any]) -> FrameFacts:
        """Return the facts of only the frames selected by a boolean mask or by row numbers."""
        return FrameFacts(*(getattr(self, each.name)[chosen] for each in fields(self)))


def read_facts(frames: Any, filter_: pc.Expression | None = None) -> FrameFacts:
    """Return the id, drive, time, clock and place of each frame that has an id and passes the filter, sorted by drive, sensor and time."""
    named = pc.field("frame_id").is_valid()
    table: pa.Table = frames.to_table(columns=list(FACT_COLUMNS), filter=named if filter_ is None else named & filter_)
    table = table.sort_by([("drive", "ascending"), ("sensor", "ascending"), ("timestamp_ns", "ascending")])
    latitude, longitude = (table[name].cast(pa.float64()).fill_null(float("nan")).to_numpy() for name in ("latitude", "longitude"))
    return FrameFacts(
        ids=_texts(table["frame_id"]),
        drives=_texts(table["drive"]),
        times=table["timestamp_ns"].to_numpy().astype(np.int64),
        indices=table["index"].to_numpy().astype(np.int64),
        clocks=_texts(table["clock"]),
        places=np.stack([latitude, longitude], axis=1),
    )


def read_names(frames: Any) -> FrameFacts:
    """Return only the ids and drives of a frame table's rows that have an id; without a column `drive` the drives are empty strings."""
    names = [name for name in ("frame_id", "drive") if name in frames.schema.names]
    table: pa.Table = frames.to_table(columns=names, filter=pc.field("frame_id").is_valid())
    unknown = np.full(len(table), UNKNOWN, dtype=object)
    zeros = np.zeros(len(table), dtype=np.int64)
    return FrameFacts(
        ids=_texts(table["frame_id"]),
        drives=_texts(table["drive"]) if "drive" in names else unknown,
        times=zeros,
        indices=zeros,
        clocks=unknown,
        places=np.full((len(table), 2), np.nan),
    )


def _texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return the column's values as strings, null as the empty string."""
    return object_array([UNKNOWN if each is None else str(each) for each in column.to_pylist()])


def object_array(values: Sequence[Any]) -> NDArray[np.object_]:
    """Return a one-dimensional object array with one element per value; a value that is a sequence stays one element."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of frames of two tables: their row numbers, and two distances (smaller is nearer)."""

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    near: NDArray[np.float64]
    also: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: NDArray[Any]) -> Pairs:
        """Return only the pairs of frames selected by a boolean mask or by row numbers."""
        return Pairs(self.a[rows], self.b[rows], self.near[rows], self.also[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[Pairs]) -> Pairs:
        """Return the pairs of frames of all `parts` as one object, in the order of `parts`."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


@dataclass(frozen=True, slots=True)
class FramePair:
    """A pair of frame refs, with their distance in words."""

    a: str
    b: str
    apart: str
