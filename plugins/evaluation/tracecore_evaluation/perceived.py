"""The table of detections read back: what a perception handed on, whichever model made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracecore.errors import UsageError
from tracecore_evaluation.detector import Answers
from tracecore_evaluation.label_rows import Row
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.path_shape import lateral
from tracecore_evaluation.scene import Seen
from tracecore_evaluation.truth import LIGHT

__all__ = ["read_detections"]

_COLUMNS = ["frame_id", "number", "geometry", "category", "score", "x", "y", "width", "height", "path", "value"]


def read_detections(table: Any, facet: Mapping[str, Any], labels: Sequence[Row]) -> tuple[ModelConfig, Answers, set[str]]:
    """Read a table of detections.

    Args:
        table: the table.
        facet: its facet `tracecore_detections`, which says what the model speaks of; empty where nobody said: then it has to see all that is labeled.
        labels: rows of the label table.

    Returns:
        What the perception speaks of, what it says by frame ref, and the refs of all frames it looked at.

    Raises:
        UsageError: the table is empty, or holds a box or score that is no number.
    """
    rows = sorted(table.to_table(columns=_COLUMNS).to_pylist(), key=lambda row: (row["frame_id"], row["number"]))
    if not rows:
        raise UsageError("The detections are empty: wire 'detections' to what a model saw on these frames (detection-kpis gives it).")
    config = _config(rows, facet, labels)
    index = {name: number for number, name in enumerate(config.classes)}
    frames = {row["frame_id"] for row in rows}
    boxes: dict[str, list[dict[str, Any]]] = {frame: [] for frame in sorted(frames)}
    answers = Answers()
    for row in rows:
        if row["geometry"] == "box2d" and row["category"] in index:
            boxes[row["frame_id"]].append(row)
        elif row["geometry"] == "path" and row["path"] and config.ahead:
            answers.paths[row["frame_id"]] = lateral(row["path"], config.ahead)
        elif row["geometry"] == "tag" and row["category"] == LIGHT and row["value"] in config.states:
            answers.lights[row["frame_id"]] = np.eye(len(config.states))[config.states.index(row["value"])]
    if config.classes:
        answers.seen.update((frame, _seen(of_frame, index)) for frame, of_frame in boxes.items())
    return config, answers, frames


def _config(rows: Sequence[Row], facet: Mapping[str, Any], labels: Sequence[Row]) -> ModelConfig:
    if {"classes", "ahead_m", "states"} <= facet.keys():
        return ModelConfig(0, 0, tuple(facet["classes"]), tuple(float(ahead) for ahead in facet["ahead_m"]), tuple(facet["states"]))
    classes = sorted({row["category"] for row in [*rows, *labels] if row["geometry"] == "box2d"})
    path = next((row["path"] for row in rows if row["geometry"] == "path" and row["path"]), ())
    said, true = (
        {row["value"] for row in of if row["geometry"] == "tag" and row["category"] == LIGHT and row["value"] is not None} for of in (rows, labels)
    )
    return ModelConfig(0, 0, tuple(classes), tuple(path[::2]), tuple(sorted(said | true)) if said else ())


def _seen(rows: Sequence[Row], index: Mapping[str, int]) -> Seen:
    ordered = sorted(rows, key=lambda row: (-(row["score"] if row["score"] is not None else 1.0), row["number"]))
    boxes = np.array([[row["x"], row["y"], row["width"], row["height"]] for row in ordered], dtype=np.float64).reshape(-1, 4)
    scores = np.array([1.0 if row["score"] is None else row["score"] for row in ordered], dtype=np.float64)
    broken = ~(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
    if broken.any():
        row = ordered[int(broken.argmax())]
        raise UsageError(f"Detection {row['number']} on {row['frame_id']} has a box or a score that is no finite number.")
    return Seen(boxes, scores, np.array([index[row["category"]] for row in ordered], dtype=np.int64))
