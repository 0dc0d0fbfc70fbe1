"""The table of detections: what a model's perception API hands on, a row a thing; and reading it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tracecore_evaluation.detector import Answers
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_shape import points_of
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.truth import LIGHT
from tracecore_schemas.arrow_tables import DETECTIONS, table_of

__all__ = ["FLOOR", "detections_table"]

FLOOR = 0.05
"""Least score of a box that is handed on."""


def detections_table(frames: Sequence[Frame], answers: Answers, config: ModelConfig) -> pa.Table:
    """Give what a model sees on frames: boxes of at least `FLOOR`, best first, then the path and the light's state.

    Args:
        frames: in order.
        answers: what the model says of them.
        config: its heads.
    """
    rows: list[dict[str, Any]] = []
    for frame in frames:
        where = {"drive": frame.drive, "sensor": frame.sensor, "timestamp_ns": frame.timestamp_ns, "frame_id": frame.id}
        things = _things(frame, answers, config) or [{"geometry": "none"}]
        rows += [where | {"number": number} | thing for number, thing in enumerate(things)]
    return table_of(DETECTIONS, rows)


def _things(frame: Frame, answers: Answers, config: ModelConfig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if frame.id in answers.seen:
        seen = answers.seen[frame.id].above(FLOOR)
        for box, score, class_ in zip(seen.boxes.tolist(), seen.scores.tolist(), seen.classes.tolist(), strict=True):
            sides = dict(zip(("x", "y", "width", "height"), box, strict=True))
            found.append({"geometry": "box2d", "category": config.classes[class_], "score": score} | sides)
    if frame.id in answers.paths:
        found.append({"geometry": "path", "path": points_of(config.ahead, answers.paths[frame.id].tolist())})
    if frame.id in answers.lights:
        probabilities = answers.lights[frame.id]
        state = int(np.argmax(probabilities))
        found.append({"geometry": "tag", "category": LIGHT, "value": config.states[state], "score": float(probabilities[state])})
    return found
