"""The table of tracks: both sides that tracking is scored from, so that anyone can compute MOTA and IDF1 again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tracecore_evaluation.episodes import seen_track
from tracecore_evaluation.level_2 import Driving, Followed
from tracecore_evaluation.model_config import ModelConfig
from tracecore_schemas.arrow_tables import TRACKS, table_of

__all__ = ["tracks_table"]

_SIDES = ("x", "y", "width", "height")


def tracks_table(driving: Driving, config: ModelConfig) -> pa.Table:
    """Return every true box and every box of a track, in order of drive, sensor and time.

    MOTA and IDF1 are those of the rows that are `counted`, each drive and sensor for itself, their counts summed. After a break a true object is
    another track (`…/2`), as it is for the tracker.
    """
    rows: list[dict[str, Any]] = []
    begun: Counter[tuple[str, str]] = Counter()
    for each in driving.followed:
        first = each.stretch.frames[0]
        begun[first.drive, first.sensor] += 1
        rows += _rows(each, config, begun[first.drive, first.sensor])
    return table_of(TRACKS, rows)


def _rows(found: Followed, config: ModelConfig, number: int) -> Iterator[dict[str, Any]]:
    suffix = f"/{number}" if number > 1 else ""
    for place, (frame, moment) in enumerate(zip(found.stretch.frames, found.moments, strict=True)):
        where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
        truth, tracked = moment.truth, moment.tracked
        for row, name in enumerate(moment.names):
            box = dict(zip(_SIDES, truth.boxes[row].tolist(), strict=True))
            known = {"track": f"{name}{suffix}", "category": config.classes[truth.classes[row]], "counted": bool(moment.relevant[row])}
            yield where | {"side": "truth"} | known | box
        for row, own in enumerate(tracked.numbers):
            box = dict(zip(_SIDES, tracked.boxes[row].tolist(), strict=True))
            known = {"track": seen_track(found.stretch.frames, own), "category": config.classes[tracked.classes[row]]}
            yield where | {"side": "seen", "score": float(tracked.scores[row]), "counted": bool(found.scores.counted[place][row])} | known | box
