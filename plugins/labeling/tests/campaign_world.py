"""Frames with true labels of every geometry, for tests of campaigns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tracecore.testing.drawn_frames import drive_of, label
from tracecore_schemas.arrow_tables import FRAMES, LABELS, table_of

CLASSES = ("car", "pedestrian", "sign")


def frames_of(count: int) -> list[dict[str, Any]]:
    """Return frames of two drives, the second by night."""
    return [*drive_of("alpha", count - count // 2, time_of_day="day"), *drive_of("beta", count // 2, time_of_day="night")]


def truth_rows(frames: list[dict[str, Any]], seed: int = 1) -> list[dict[str, Any]]:
    """Return boxes with cuboids of the same track, a path and a light state for each frame; every fifth frame holds no object."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for place, frame in enumerate(frames):
        common = {"tool": "truth 1", "frame_attributes": [("weather", "rain")]}
        objects = 0 if place % 5 == 4 else int(rng.integers(1, 5))
        for number in range(objects):
            x, y, width, height = (float(v) for v in (rng.uniform(0, 50), rng.uniform(0, 30), rng.uniform(10, 40), rng.uniform(10, 30)))
            category, track = str(rng.choice(CLASSES)), f"{place}-{number}"
            rows.append(label(frame, 2 * number, category, (x, y, width, height), track=track, **common))
            cuboid = [10.0 + number, 2.0, 0.8, 0.0, 0.0, 0.0, 1.0, 4.2, 1.8, 1.5]
            other = {"geometry": "cuboid", "cuboid": cuboid, "cuboid_frame": "vehicle", "track": track}
            rows.append(label(frame, 2 * number + 1, category, None, **common, **other))
        if not objects:
            rows.append(label(frame, 90, None, None, **common))
        path = [value for x in (5, 10, 15, 20, 25, 30) for value in (float(x), 0.01 * x * x)]
        rows.append(label(frame, 91, None, None, geometry="path", path=path, **common))
        state = ("none", "red", "green")[place % 3]
        rows.append(label(frame, 92, "light_state", None, geometry="tag", value=state, **common))
    return rows


def truth_table(frames: list[dict[str, Any]]) -> pa.Table:
    """Make the table of true labels."""
    return table_of(LABELS, truth_rows(frames))


def tables(count: int) -> tuple[pa.Table, pa.Table]:
    """Return frames and their truth."""
    frames = frames_of(count)
    return table_of(FRAMES, frames), truth_table(frames)
