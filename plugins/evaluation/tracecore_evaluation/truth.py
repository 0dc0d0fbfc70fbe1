"""Evaluated frames and their true boxes, from the frame and label tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracecore.errors import UsageProblem
from tracecore_evaluation.scene import Frame, Truth

__all__ = ["Labels", "MeanBox", "read_frames", "read_labels"]

_FRAME_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns", "width", "height", "time_of_day", "region"]
_LABEL_COLUMNS = [
    "frame_id", "label_id", "revision", "geometry", "category", "x", "y", "width", "height", "area", "crowd", "image_width", "image_height",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeanBox:
    """The mean box of a class, as shares of the image's width and height [x, y, width, height], and the share of frames that hold the class."""

    box: tuple[float, float, float, float]
    share: float


@dataclass(frozen=True, slots=True)
class Labels:
    """What the labels say.

    Attributes:
        truth: by frame ref, for each evaluated frame that was labeled.
        foreign: boxes of evaluated frames by class that the model doesn't know.
        elsewhere: per class index, its mean box on the labeled frames that are not evaluated, None where it has no box there.
        frames_elsewhere: how many those frames are.
    """

    truth: Mapping[str, Truth]
    foreign: Mapping[str, int]
    elsewhere: tuple[MeanBox | None, ...]
    frames_elsewhere: int


def read_frames(table: Any) -> list[Frame]:
    """Read which frames a table holds, in order of drive, sensor and time."""
    rows = (
        table.to_table(columns=_FRAME_COLUMNS).sort_by([("drive", "ascending"), ("sensor", "ascending"), ("timestamp_ns", "ascending")]).to_pylist()
    )
    return [
        Frame(
            row["frame_id"], row["drive"], row["sensor"], row["timestamp_ns"], row["width"], row["height"],
            {name: row[name] for name in ("time_of_day", "region", "drive") if row[name] is not None},
        )
        for row in rows
    ]  # fmt: skip


def read_labels(table: Any, frames: Sequence[Frame], classes: Sequence[str]) -> Labels:
    """Read the labels, each in its last revision.

    Args:
        table: the label table.
        frames: the evaluated frames.
        classes: the model's, by index.

    Raises:
        UsageProblem: no evaluated frame is labeled.
    """
    evaluated = {frame.id for frame in frames}
    index = {name: number for number, name in enumerate(classes)}
    last: dict[str, dict[str, Any]] = {}
    for row in table.to_table(columns=_LABEL_COLUMNS).to_pylist():
        known = last.get(row["label_id"])
        if known is None or row["revision"] > known["revision"]:
            last[row["label_id"]] = row
    rows = sorted(last.values(), key=lambda row: (row["frame_id"], row["label_id"]))
    by_frame: dict[str, list[dict[str, Any]]] = {row["frame_id"]: [] for row in rows}
    foreign: Counter[str] = Counter()
    for row in rows:
        if row["geometry"] != "box2d":
            continue
        if row["category"] in index:
            by_frame[row["frame_id"]].append(row)
        elif row["frame_id"] in evaluated:
            foreign[row["category"]] += 1
    truth = {id_: _truth(rows, index) for id_, rows in by_frame.items() if id_ in evaluated}
    if not truth:
        raise UsageProblem(
            f"None of the {len(evaluated)} frames to evaluate on is labeled: the labels speak of {len(by_frame)} other frames. "
            "Wire 'labels' to a label batch of these frames."
        )
    others = {id_: rows for id_, rows in by_frame.items() if id_ not in evaluated}
    return Labels(truth, dict(sorted(foreign.items())), tuple(_mean_box(others, name) for name in classes), len(others))


def _truth(rows: Sequence[Mapping[str, Any]], index: Mapping[str, int]) -> Truth:
    boxes = np.array([[row["x"], row["y"], row["width"], row["height"]] for row in rows], dtype=np.float64).reshape(-1, 4)
    areas = [row["width"] * row["height"] if row["area"] is None else row["area"] for row in rows]
    return Truth(
        boxes,
        np.array([index[row["category"]] for row in rows], dtype=np.int64),
        np.array(areas, dtype=np.float64),
        np.array([row["crowd"] for row in rows], dtype=bool),
        tuple(row["label_id"] for row in rows),
    )


def _mean_box(frames: Mapping[str, Sequence[Mapping[str, Any]]], category: str) -> MeanBox | None:
    rows = [row for of_frame in frames.values() for row in of_frame if row["category"] == category and not row["crowd"]]
    if not rows:
        return None
    shares = np.array(
        [
            [row["x"] / row["image_width"], row["y"] / row["image_height"], row["width"] / row["image_width"], row["height"] / row["image_height"]]
            for row in rows
        ]
    )
    x, y, width, height = (float(value) for value in shares.mean(axis=0))
    return MeanBox((x, y, width, height), len({row["frame_id"] for row in rows}) / len(frames))
