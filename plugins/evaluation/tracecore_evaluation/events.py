"""Mistakes as events: each a row of its own that leads back to its frame and label, with the conditions it happened in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tracecore_evaluation.detector import Answers
from tracecore_evaluation.judge import Judged, Limits
from tracecore_evaluation.matching import Match
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.scene import Frame, Seen, Truth
from tracecore_evaluation.slices import Slicing
from tracecore_evaluation.truth import LIGHT, Labels
from tracecore_schemas.arrow_tables import EVENTS, table_of
from tracecore_schemas.canonical import digest_json, hex_of

__all__ = ["PATH", "event_of", "events_table", "frame_events", "whole_frame"]

PATH = "path"
"""Category of mistakes about the path."""


def frame_events(
    frames: Sequence[Frame], labels: Labels, answers: Answers, judged: Judged, config: ModelConfig, limits: Limits, slicing: Slicing
) -> list[dict[str, Any]]:
    """Give the mistakes on evaluated frames, in order of frame; see `events_table` for the rows.

    A box that hits nothing but overlaps an object of another class enough is one mistake, `wrong_class`, and takes that object's miss with it.

    Args:
        frames: evaluated frames, in order.
        labels: what is true of them.
        answers: what the model says.
        judged: what judging it found.
        config: its heads.
        limits: what counts.
        slicing: how conditions are named.
    """
    rows: list[dict[str, Any]] = []
    for frame in frames:
        if frame.id in judged.obstacles.matches:
            seen = answers.seen[frame.id].above(limits.thresholds.score)
            rows += _boxes(frame, labels.truth[frame.id], seen, judged.obstacles.matches[frame.id], config.classes, limits.thresholds.iou, slicing)
        if frame.id in labels.lights and frame.id in answers.lights:
            probabilities = answers.lights[frame.id]
            found = int(np.argmax(probabilities))
            if found != labels.lights[frame.id]:
                states = {"expected": config.states[labels.lights[frame.id]], "found": config.states[found]}
                rows.append(event_of(frame, "wrong_state", LIGHT, whole_frame(frame), slicing, **states, score=float(probabilities[found])))
        errors = judged.path.errors.get(frame.id)
        if errors is not None and not np.isnan(errors).all() and float(np.nanmean(errors)) > limits.off_path:
            worst = int(np.nanargmax(errors))
            ways = {
                name: f"{left[worst]:+.2f} m to the left at {config.ahead[worst]:g} m ahead"
                for name, left in (("expected", labels.paths[frame.id]), ("found", answers.paths[frame.id]))
            }
            rows.append(event_of(frame, "off_path", PATH, whole_frame(frame), slicing, **ways, error=float(np.nanmean(errors))))
    return rows


def _boxes(frame: Frame, truth: Truth, seen: Seen, match: Match, classes: Sequence[str], iou: float, slicing: Slicing) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    explained: set[int] = set()
    for row in np.flatnonzero(match.hit == -1).tolist():
        found, score, overlap = classes[seen.classes[row]], float(seen.scores[row]), float(match.overlap_seen[row])
        taken_for = match.other_class(row, iou)
        if taken_for is None:
            rows.append(event_of(frame, "false_positive", found, seen.boxes[row].tolist(), slicing, score=score, iou=overlap, found=found))
            continue
        explained.add(taken_for)
        of_object = _object(truth, taken_for)
        expected = classes[truth.classes[taken_for]]
        both = {"score": score, "iou": overlap, "expected": expected, "found": found}
        rows.append(event_of(frame, "wrong_class", expected, seen.boxes[row].tolist(), slicing, **both, **of_object))
    for row in np.flatnonzero(~match.found & ~truth.crowd).tolist():
        if row not in explained:
            category = classes[truth.classes[row]]
            facts = {"iou": float(match.overlap_true[row]), "expected": category} | _object(truth, row)
            rows.append(event_of(frame, "miss", category, truth.boxes[row].tolist(), slicing, **facts))
    return rows


def _object(truth: Truth, row: int) -> dict[str, Any]:
    return {"label_id": truth.ids[row], "track": truth.track(row), "distance": truth.distance(row), "area": float(truth.areas[row])}


def whole_frame(frame: Frame) -> list[float]:
    """Give the box of a mistake about the whole frame."""
    return [0.0, 0.0, float(frame.width), float(frame.height)]


def event_of(frame: Frame, type_: str, category: str, box: Sequence[float], slicing: Slicing, **facts: Any) -> dict[str, Any]:
    """Give one row, but for its id.

    Args:
        frame: where.
        type_: one of `EVENT_TYPES`.
        category: class, or what the mistake is about.
        box: x, y, width, height, px.
        slicing: names its conditions.
        **facts: further columns; `area` (px^2) of the object where it differs from its box's.
    """
    x, y, width, height = box
    where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
    area = facts.pop("area", width * height)
    of_object = type_ not in {"wrong_state", "off_path"}
    conditions = slicing.conditions(frame, area=area if of_object else None, distance=facts.get("distance"))
    row = where | {"type": type_, "category": category, "x": x, "y": y, "width": width, "height": height, "conditions": conditions}
    return {"iou": 0.0} | row | facts


def events_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Make the table of events, each with an id that is the digest of its content."""
    twice: dict[str, int] = {}
    for event in rows:
        content = {name: str(value) if name == "timestamp_ns" else value for name, value in event.items() if value is not None}
        digest = hex_of(digest_json(content))
        twice[digest] = twice.get(digest, 0) + 1
        # Two detections may agree in every bit; the second is another event all the same.
        event["event_id"] = (digest if twice[digest] == 1 else hex_of(digest_json([digest, twice[digest]])))[:32]
    return table_of(EVENTS, rows)
