"""Runs training stages by the real executor on tables handed to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from handed_on import hand_on_tables
from kernel_world import World, given

from tracecore.testing.worlds import Outcome

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
        folder = self.world.base / f"drawn-{self.count}"
        return hand_on_tables(self.world.executor, folder, {"frames": as_frames(frames), "labels": as_labels(labels)})

    def train(self, supplied: Outcome, *, seed: int = 7, **params: Any) -> Outcome:
        """Train on one thread: tests share their cores, and threads that wait for each other there wait long."""
        inputs = {port: given(supplied, port) for port in ("frames", "labels")}
        task = self.world.task("model", "train", self.stage, inputs, seed=seed, **(self.params | params))
        return self.world.executor.execute(replace(task, threads=1))

    def folder(self, outcome: Outcome) -> Path:
        folder = self.world.store.open(outcome.outputs["model"])
        assert isinstance(folder, Path)
        return folder
