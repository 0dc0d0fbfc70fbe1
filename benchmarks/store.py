"""The store: writing a table against a plain Parquet write, verifying against a plain SHA-256 of the same bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Comparison, compare

from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact

__all__ = ["put_table", "verify"]

ROWS = 200_000


def _signals(rows: int) -> pa.Table:
    """Return rows as a drive's signals have them: sorted by time, three drives."""
    random = np.random.default_rng(7)
    drives = pa.array(np.repeat(["a", "b", "c"], rows // 3 + 1)[:rows])
    return pa.table(
        {"drive": drives, "timestamp_ns": np.arange(rows, dtype=np.int64), "value": random.normal(size=rows), "luma": random.random(rows)}
    )


def put_table(folder: Path, times: int) -> Comparison:
    """A table as a durable, versioned Delta table with its digest, against one Parquet file, fsynced."""
    store = LocalStore(Workspace.create(folder / "put"))
    table = _signals(ROWS)
    runs = iter(range(10_000))

    def ours() -> None:
        run = f"run-{next(runs)}"
        staged = store.stage_table(table, run_id=run, port="signals")
        store.put_table(staged, kind="dataset", name="bench.signals", run_id=run)
        store.discard(run)

    def theirs() -> None:
        path = folder / "plain.parquet"
        pq.write_table(table, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())

    return compare("put a table", f"{ROWS:,} rows", "one plain Parquet file, fsynced", ours, theirs, bound=20, times=times)


def verify(folder: Path, times: int) -> Comparison:
    """Recomputing a stored artifact's digest against hashing the same bytes."""
    workspace = Workspace.create(folder / "verify")
    store = LocalStore(workspace)
    source = folder / "model.bin"
    source.write_bytes(np.random.default_rng(7).bytes(64 * 1024 * 1024))
    stored = store.put_file(source, run_id="run")
    artifact = Artifact("engine", "bench.engine", stored.digest, Media.FILE, stored.location, stored.size_bytes)
    place = workspace.store / str(stored.location)

    def ours() -> None:
        assert store.verify(artifact) == []

    def theirs() -> None:
        with place.open("rb") as file:
            hashlib.file_digest(file, "sha256")

    return compare("verify an artifact", "64 MiB", "plain SHA-256 of the same bytes", ours, theirs, bound=2, times=times)
