"""Runs training stages by the real executor on drawn tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tracecore.testing.worlds import Outcome, ResolvedInput, StageWorld

Rows = list[dict[str, Any]]


class Trainer:
    """Supplies tables to a training stage and runs it; `params` are those that a test does not give."""

    def __init__(
        self, world: StageWorld, as_frames: Callable[[Rows], Any], as_labels: Callable[[Rows], Any], stage: str, params: dict[str, Any]
    ) -> None:
        self.world = world
        self.stage = stage
        self.params = params
        self.tables = as_frames, as_labels

    def supply(self, frames: Rows, labels: Rows) -> Mapping[str, ResolvedInput]:
        as_frames, as_labels = self.tables
        return {
            "frames": self.world.table("dataset", "test.frames", as_frames(frames)),
            "labels": self.world.table("label_batch", "test.labels", as_labels(labels)),
        }

    def train(self, supplied: Mapping[str, ResolvedInput], *, seed: int = 7, **params: Any) -> Outcome:
        """Train on one thread: tests share their cores, and threads that wait for each other there wait long."""
        return self.world.run("train", self.stage, supplied, asset="model", seed=seed, threads=1, **(self.params | params))

    def folder(self, outcome: Outcome) -> Path:
        folder = self.world.store.open(outcome.outputs["model"])
        assert isinstance(folder, Path)
        return folder
