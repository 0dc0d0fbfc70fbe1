"""Evaluated frames for tests of diagnosis: by day and night, in two regions."""

from __future__ import annotations

from tracecore.testing.drawn_frames import BOX, Row, frame, picture


def evaluated_drives(count: int = 12) -> list[Row]:
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
