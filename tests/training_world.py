"""Runs training stages by the real executor on tables handed to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernel_world import World, given

import tracecore as tc
from tracecore.executor import Outcome
from tracecore.host import RegisteredStage
from tracecore.task import Task

Rows = list[dict[str, Any]]


class Trainer:
    """Supplies tables to a training stage and runs it; `params` are those that a test does not give."""

    def __init__(self, world: World, as_frames: Callable[[Rows], Any], as_labels: Callable[[Rows], Any], stage: str, params: dict[str, Any]) -> None:
        self.world = world
        self.stage = stage
        self.params = params
        self.tables = as_frames, as_labels
        self.count = 0

    def supply(self, frames: Rows, labels: Rows) -> Outcome:
        as_frames, as_labels = self.tables
        self.count += 1

        class Drawing(tc.Stage):
            """Hand on drawn frames and their labels."""

            kind = tc.StageKind.INGEST
            frames = tc.Output("dataset")
            labels = tc.Output("label_batch")

            class Params(tc.Params):
                number: int

            def run(self, context: tc.Context, params: Any) -> None:
                context.write(self.frames, as_frames(frames))
                context.write(self.labels, as_labels(labels))

        stage = RegisteredStage(Drawing, "drawing", "tracecore-training", "0")
        return self.world.executor.execute(Task("test", "drawing", stage, {"number": self.count}, {}, 7, None, self.world.base))

    def train(self, supplied: Outcome, *, seed: int = 7, **params: Any) -> Outcome:
        """Train on one thread: tests share their cores, and threads that wait for each other there wait long."""
        inputs = {port: given(supplied, port) for port in ("frames", "labels")}
        task = self.world.task("model", "train", self.stage, inputs, seed=seed, **(self.params | params))
        return self.world.executor.execute(replace(task, threads=1))

    def folder(self, outcome: Outcome) -> Path:
        folder = self.world.store.open(outcome.outputs["model"])
        assert isinstance(folder, Path)
        return folder
