"""Frames as they are looked at: the image, and everything around it that is known of the same moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracecore.geometry import Camera, Rig
from tracecore_schemas.arrow_tables import POINTS_DTYPE, last_revisions

__all__ = ["Layers", "View", "read_views", "spread"]

Floats = NDArray[np.float64]
_SAME_MOMENT_NS = 150_000_000  # a LiDAR turns ten times a second: the nearest sweep is no farther than this
_LEFT_OUT = {"image", "data"}


@dataclass(frozen=True, slots=True)
class Layers:
    """Tables to draw over the frames, as `pyarrow.dataset.Dataset`; None for nothing."""

    labels: Any = None
    detections: Any = None
    events: Any = None
    sweeps: Any = None
    rig: Rig | None = None
    score: float = 0.3


@dataclass(frozen=True, slots=True)
class View:
    """One frame.

    Attributes:
        row: of the frame table.
        labels: rows of the label table, the last revision of each that was not rejected.
        seen: rows of the detection table that count.
        events: rows of the event table.
        camera: how it sees, None where it was not calibrated.
        points: of the nearest LiDAR sweep in the vehicle's frame, x y z in m and intensity [n, 4]; None where there is none.
        rig: of its drive.
    """

    row: Mapping[str, Any]
    labels: tuple[Mapping[str, Any], ...]
    seen: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    camera: Camera | None
    points: Floats | None
    rig: Rig


def spread(rows: Sequence[Any], count: int) -> list[Any]:
    """Choose evenly: nobody picks the good ones."""
    if not rows:
        return []
    places = np.unique(np.linspace(0, len(rows) - 1, num=min(count, len(rows))).round().astype(int))
    return [rows[place] for place in places.tolist()]


def read_views(frames: Any, ids: Collection[str], layers: Layers) -> list[View]:
    """Read frames by ref, in order of drive, sensor and time.

    Args:
        frames: the frame table.
        ids: refs.
        layers: what to read beside them.
    """
    rows = _rows(frames, ids, without=())
    rows.sort(key=lambda row: (row["drive"], row["sensor"], row["timestamp_ns"]))
    labels, seen, events = (_by_frame(_rows(table, ids)) for table in (layers.labels, layers.detections, layers.events))
    rig = layers.rig or Rig()
    return [
        View(
            row,
            tuple(_newest(labels.get(row["frame_id"], []))),
            tuple(each for each in seen.get(row["frame_id"], []) if each["geometry"] != "box2d" or (each["score"] or 0) >= layers.score),
            tuple(events.get(row["frame_id"], [])),
            rig.camera(row["drive"], row["sensor"], row["timestamp_ns"]),
            _points(layers.sweeps, row, rig),
            rig,
        )
        for row in rows
    ]


def _rows(table: Any, ids: Collection[str], without: Collection[str] = _LEFT_OUT) -> list[dict[str, Any]]:
    if table is None:
        return []
    wanted = pc.field("frame_id").isin(pa.array(sorted(ids), type=pa.string()))
    found: list[dict[str, Any]] = table.to_table(columns=[name for name in table.schema.names if name not in without], filter=wanted).to_pylist()
    return found


def _by_frame(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["frame_id"], []).append(row)
    return found


def _newest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in last_revisions(rows) if row.get("qa") != "rejected"]


def _points(sweeps: Any, row: Mapping[str, Any], rig: Rig) -> Floats | None:
    if sweeps is None:
        return None
    time = row["timestamp_ns"]
    near = pc.field("drive") == row["drive"]
    near &= (pc.field("timestamp_ns") >= time - _SAME_MOMENT_NS) & (pc.field("timestamp_ns") <= time + _SAME_MOMENT_NS)
    found = sweeps.to_table(columns=["sensor", "timestamp_ns", "data"], filter=near).to_pylist()
    placed = [(each, matrix) for each in found if (matrix := rig.to_vehicle(row["drive"], each["sensor"], time)) is not None]
    if not placed:
        return None
    sweep, matrix = min(placed, key=lambda each: (abs(each[0]["timestamp_ns"] - time), each[0]["sensor"]))
    points = np.frombuffer(sweep["data"], dtype=np.dtype(POINTS_DTYPE))
    own = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)
    return np.column_stack([own @ matrix[:3, :3].T + matrix[:3, 3], points["intensity"].astype(np.float64)])
