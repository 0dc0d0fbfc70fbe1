"""Mistakes as events: every false positive and every miss, each a row of its own that leads back to its frame and label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tracecore_evaluation.matching import Match
from tracecore_evaluation.scene import Frame, Seen, Truth
from tracecore_schemas.canonical import digest_json, hex_of
from tracecore_schemas.rows import table_of
from tracecore_schemas.tables import EVENTS

__all__ = ["events_table"]


def events_table(
    frames: Sequence[Frame], truth: Mapping[str, Truth], seen: Mapping[str, Seen], matches: Mapping[str, Match], classes: Sequence[str], score: float
) -> pa.Table:
    """Give the events of evaluated frames, in order of frame.

    Args:
        frames: evaluated frames, in order.
        truth: by frame ref.
        seen: by frame ref.
        matches: by frame ref, of the detections above the score.
        classes: names by index.
        score: what counts as a detection.
    """
    rows: list[dict[str, Any]] = []
    for frame in frames:
        of_truth, of_match, detections = truth[frame.id], matches[frame.id], seen[frame.id].above(score)
        for row, hit in enumerate(of_match.hit.tolist()):
            if hit == -1:
                class_ = classes[detections.classes[row]]
                event = _event(frame, "false_positive", class_, detections.boxes[row].tolist(), float(of_match.overlap_seen[row]))
                rows.append(event | {"score": float(detections.scores[row]), "label_id": None})
        for row, was_found in enumerate(of_match.found.tolist()):
            if not was_found and not of_truth.crowd[row]:
                class_ = classes[of_truth.classes[row]]
                event = _event(frame, "miss", class_, of_truth.boxes[row].tolist(), float(of_match.overlap_true[row]))
                rows.append(event | {"score": None, "label_id": of_truth.ids[row]})
    twice: dict[str, int] = {}
    for event in rows:
        content = {name: str(value) if name == "timestamp_ns" else value for name, value in event.items()}
        digest = hex_of(digest_json(content))
        twice[digest] = twice.get(digest, 0) + 1
        # Two detections may agree in every bit; the second is another event all the same.
        event["event_id"] = (digest if twice[digest] == 1 else hex_of(digest_json([digest, twice[digest]])))[:32]
    return table_of(EVENTS, rows)


def _event(frame: Frame, type_: str, category: str, box: list[float], iou: float) -> dict[str, Any]:
    x, y, width, height = box
    where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
    return where | {"type": type_, "category": category, "iou": iou, "x": x, "y": y, "width": width, "height": height}
