"""A small program whose bytes really lie in a store: one file of every kind that `verify` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tracecore.store import Store, Stored, open_store
from tracecore.testing.worlds import PROGRAM, RecordWorld, artifact, origin
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import Artifact, RunInput

FRAMES = pa.schema(
    [pa.field("drive", pa.string(), nullable=False), pa.field("timestamp_ns", pa.int64(), nullable=False), pa.field("luma", pa.float32())]
)


def frames(*drives: str) -> pa.Table:
    rows = [(drive, time, 0.25) for drive in drives for time in range(100)]
    return pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), FRAMES, strict=True)], schema=FRAMES)


def kept(kind: str, name: str, stored: Stored, **more: Any) -> Artifact:
    return Artifact(
        kind, name, stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta, **more
    )  # fmt: skip


class StoredWorld(RecordWorld):
    """A world whose artifacts are kept in the workspace's store."""

    @property
    def store(self) -> Store:
        return open_store(self.record.workspace)

    def file(self, content: bytes) -> Stored:
        run = self.record.recorder.new_run_id()
        source = self.store.staging(run) / "file"
        source.write_bytes(content)
        stored = self.store.put_file(source, run_id=run, move=True)
        self.store.discard(run)
        return stored

    def folder(self, **files: bytes) -> Stored:
        run = self.record.recorder.new_run_id()
        source = self.store.staging(run) / "folder"
        source.mkdir()
        for name, content in files.items():
            (source / name).write_bytes(content)
        stored = self.store.put_directory(source, run_id=run)
        self.store.discard(run)
        return stored

    def table(self, name: str, data: pa.Table) -> Stored:
        run = self.record.recorder.new_run_id()
        after = self.record.recorder.newest_table("dataset", name)
        stored = self.store.put_table(self.store.stage_table(data, run_id=run, port="out"), kind="dataset", name=name, run_id=run, after=after)
        self.store.discard(run)
        return stored

    def all(self) -> StoredWorld:
        """Drive to engine, every byte of it in the store."""
        drive = kept("drive_log", "north", self.file(b"an MCAP file"), origin=origin("north.mcap", "an MCAP file", "drive file"))
        run = self.start("drives.drive_log", StageKind.INGEST)
        self.record.recorder.complete(run, [], {"drive_log": drive})
        table = kept("dataset", "demo.drives", self.table("demo.drives", frames("north", "south")))
        self.run("drives", StageKind.INGEST, outputs={"frames": table}, more_inputs=[RunInput("drive_log", drive, run.id)])
        self.check("drives", "not_empty")
        coco = b'{"images": []}'
        file = kept("external", "labels.json", self.file(coco), namespace="file", origin=origin("labels.json", coco.decode(), "label file"))
        labels = artifact("label_batch", "demo.labels", "boxes")
        labels = kept("label_batch", "demo.labels", self.table("demo.labels", frames("north")))
        self.run("labels", StageKind.LABEL, [("frames", "drives")], {"labels": labels}, more_inputs=[RunInput("label_file", file)])
        model = kept("model", "demo.model", self.folder(**{"model.safetensors": b"weights" * 100, "config.json": b"{}"}))
        self.run("model", StageKind.TRAIN, [("frames", "drives"), ("labels", "labels")], {"model": model})
        engine = kept("engine", "demo.engine", self.file(b"native code"))
        self.run("engine", StageKind.COMPILE, [("model", "model")], {"engine": engine})
        return self

    def path(self, asset: str, inside: str = "") -> Path:
        """Where an artifact's bytes lie."""
        place = self.record.workspace.store / str(self.made[asset].location)
        return place / inside if inside else place


__all__ = ["PROGRAM", "StoredWorld", "frames", "kept"]
