"""The stage `template`: a model learned from labeled frames."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.dataset as ds

import tracecore as tc

__all__ = ["Template"]


class Template(tc.Stage):
    """Learn the mean box of each class: the least that any detector has to beat."""

    kind = tc.StageKind.TRAIN
    name = "template"
    frames = tc.Input(table=tc.FRAMES, description="frames to learn from")
    labels = tc.Input(table=tc.LABELS, description="their labels; labels of other frames are left out")
    model = tc.Output("model", file="boxes.json", description="the mean box of each class, px")

    class Params(tc.Params):
        """How to learn."""

        share: float = tc.Field(1.0, gt=0, le=1, description="share of the boxes to learn from, chosen by the seed")

    def run(self, context: tc.Context, params: Params) -> None:
        """Choose boxes, average, write."""
        frames = context.read(self.frames).to_table(columns=["frame_id"]).column("frame_id")
        wanted = (ds.field("geometry") == "box2d") & ds.field("frame_id").isin(frames)
        table = context.read(self.labels).to_table(columns=["label_id", "category", "x", "y", "width", "height"], filter=wanted)
        rows = sorted(table.to_pylist(), key=lambda row: row["label_id"])
        chosen = np.random.default_rng(context.seed).random(len(rows)) <= params.share
        boxes: dict[str, list[list[float]]] = {}
        for row in (row for row, keep in zip(rows, chosen, strict=True) if keep):
            boxes.setdefault(row["category"], []).append([row[side] for side in ("x", "y", "width", "height")])
        mean = {name: np.mean(found, axis=0).round(6).tolist() for name, found in sorted(boxes.items())}
        (context.path(self.model) / "boxes.json").write_text(json.dumps(mean, indent=2), encoding="utf-8")
