"""A stage that hands on what a test wrote: tables as Arrow files, folders as they are. It can be imported by a worker, as every stage must be."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

import tracecore as tc
from tracecore.plugins.host import RegisteredStage
from tracecore.running.executor import Executor, Outcome
from tracecore.running.task import Task

__all__ = ["hand_on_folder", "hand_on_tables"]


class HandedTables(tc.Stage):
    """Hand on frames and their labels."""

    kind = tc.StageKind.INGEST
    sources = tc.Files("paths", suffixes=[".arrow"], note="handed file")
    frames = tc.Output("dataset")
    labels = tc.Output("label_batch")

    class Params(tc.Params):
        paths: list[str]

    def run(self, context: tc.Context, params: Any) -> None:
        for file in context.files(self.sources):
            with pa.memory_map(str(file.path)) as source:
                context.write(self.frames if file.path.stem == "frames" else self.labels, pa.ipc.open_file(source).read_all())


class HandedModel(tc.Stage):
    """Hand on a model."""

    kind = tc.StageKind.TRAIN
    sources = tc.Files("paths", suffixes=["*"], note="handed file", nested=True)
    model = tc.Output("model")

    class Params(tc.Params):
        paths: list[str]

    def run(self, context: tc.Context, params: Any) -> None:
        for file in context.files(self.sources):
            place = context.path(self.model) / file.name.partition("/")[2]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, place)


def hand_on_tables(executor: Executor, folder: Path, tables: Mapping[str, pa.Table]) -> Outcome:
    """Record tables as if a stage had made them.

    Args:
        executor: of the world.
        folder: for the files.
        tables: `frames` and `labels`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for port, table in tables.items():
        with pa.OSFile(str(folder / f"{port}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return _run(executor, HandedTables, "drawing", folder)


def hand_on_folder(executor: Executor, folder: Path) -> Outcome:
    """Record a model directory as if a stage had made it."""
    return _run(executor, HandedModel, "given", folder)


def _run(executor: Executor, stage: type[tc.Stage], asset: str, folder: Path) -> Outcome:
    registered = RegisteredStage(stage, "handed", "tracecore-training", "0")
    return executor.execute(Task("test", asset, registered, {"paths": [str(folder)]}, {}, 7, None, folder.parent))
