"""Evaluated frames and the mistakes made on them, drawn for tests: by day and night, in two regions, with bright and dark objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from drawn_frames import drive_of, frame, picture

from tracecore_schemas.arrow_tables import DETECTIONS, EVENTS, table_of

BOX = (30, 20, 12, 24)


def event(of: Mapping[str, Any], type_: str, category: str, box: tuple[float, float, float, float] = BOX, **other: Any) -> dict[str, Any]:
    """Return one row of the event table."""
    x, y, width, height = box
    told = f"{of['frame_id']} {type_} {category} {box}"
    return {
        **{name: of[name] for name in ("drive", "sensor", "timestamp_ns", "frame_id")},
        "event_id": hashlib.sha256(told.encode()).hexdigest()[:32],
        "type": type_,
        "category": category,
        "iou": 0.0,
        "x": float(x),
        "y": float(y),
        "width": float(width),
        "height": float(height),
        "conditions": {},
        **other,
    }


def event_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Make the event table."""
    return table_of(EVENTS, rows)


def seen(of: Mapping[str, Any], number: int, category: str, box: tuple[float, float, float, float], score: float) -> dict[str, Any]:
    """Return one row of the detection table."""
    x, y, width, height = box
    where = {name: of[name] for name in ("drive", "sensor", "timestamp_ns", "frame_id")}
    boxes = {"x": float(x), "y": float(y), "width": float(width), "height": float(height)}
    return {**where, "number": number, "geometry": "box2d", "category": category, "score": score, **boxes}


def detection_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Make the detection table."""
    return table_of(DETECTIONS, rows)


def evaluated_drives(count: int = 12) -> list[dict[str, Any]]:
    """Return three drives: by day in DE, by night in DE and by night in JP, each frame with one white box."""
    rows = []
    for place, (name, region, time_of_day, light) in enumerate(
        [("noon", "DE", "day", 1.0), ("late", "DE", "night", 0.4), ("tokyo", "JP", "night", 0.4)]
    ):
        rows += [
            frame(name, index, picture(1000 * place + index, box=BOX, light=light), region=region, time_of_day=time_of_day, luma=0.3 * light)
            for index in range(count)
        ]
    return rows


def pool_drives(count: int = 10) -> list[dict[str, Any]]:
    """Return drives to choose from: the evaluated ones are not among them."""
    return [
        *drive_of("spring", count, region="DE", time_of_day="day"),
        *drive_of("osaka", count, region="JP", time_of_day="night", luma=0.12),
        *drive_of("kyoto", count, region="JP", time_of_day="night", luma=0.12),
        *drive_of("nowhere", count, time_of_day="night"),
    ]
