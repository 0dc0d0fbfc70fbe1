"""Stores for tests that hold for any of them, and the hands that damage what they keep."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pyarrow as pa
from s3_server import S3Server

from tracecore.store import Stored
from tracecore.store.blob_backend import BlobBackend
from tracecore.store.local import LocalStore
from tracecore.store.object_store import ObjectStore
from tracecore.workspace import Workspace
from tracecore_schemas.arrow_tables import SIGNALS
from tracecore_schemas.run import Artifact, DeltaVersion

__all__ = ["AnyStore", "artifact", "drop", "object_store", "peek", "poke", "put", "signals", "staged_directory", "staged_file"]

AnyStore = LocalStore | ObjectStore


def object_store(server: S3Server, workspace: Workspace, prefix: str | None = None) -> ObjectStore:
    """Open a store below a prefix of a server's bucket; below one of its own where none is named."""
    environment = server.environment(prefix or f"store-{uuid.uuid4().hex}")
    return ObjectStore(workspace, BlobBackend.of(environment["TRACECORE_STORE_URL"], environment))


def peek(store: AnyStore, path: str) -> bytes:
    """Read what lies under a path, as only a test would."""
    return store.place.read(path)


def poke(store: AnyStore, path: str, data: bytes) -> None:
    """Put other bytes there."""
    if isinstance(store, LocalStore):
        (store.root / path).write_bytes(data)
    else:
        store._bucket.replace(path, data)


def drop(store: AnyStore, path: str) -> None:
    """Take what lies there away."""
    if isinstance(store, LocalStore):
        (store.root / path).unlink()
    else:
        store._bucket.remove([path])


def artifact(stored: Stored, kind: str = "model", name: str = "m") -> Artifact:
    return Artifact(kind, name, stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta)


def staged_directory(store: AnyStore, run_id: str = "r", **files: bytes) -> Path:
    folder = store.staging(run_id) / "model"
    for path, data in files.items():
        place = folder / path.replace("__", "/").replace("_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def staged_file(store: AnyStore, content: bytes, run_id: str = "r") -> Path:
    path = store.staging(run_id) / "out"
    path.write_bytes(content)
    return path


def signals(drives: dict[str, int]) -> pa.Table:
    rows = [
        {
            "drive": drive,
            "topic": topic,
            "timestamp_ns": 1_700_000_000_000_000_000 + place,
            "sequence": place,
            "schema": None if place % 3 else "Odometry",
            "values": [("speed", place / 7), ("position.x", float(place))],
            "message": json.dumps({"n": place}),
        }
        for drive, count in drives.items()
        for topic in ("/odometry", "/gnss")
        for place in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=SIGNALS.schema)


def put(
    store: AnyStore, data: pa.Table | pa.RecordBatchReader, run_id: str = "r1", name: str = "p.drives.signals", after: DeltaVersion | None = None
) -> Artifact:
    stored: Stored = store.put_table(store.stage_table(data, run_id=run_id, port="signals"), kind="dataset", name=name, run_id=run_id, after=after)
    return Artifact("dataset", name, stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta)


def delta_table(store: AnyStore, folder: str) -> tuple[str, dict[str, str] | None]:
    """Return URI and options by which deltalake, as any other reader, finds a table."""
    if isinstance(store, LocalStore):
        return (store.root / folder).absolute().as_uri(), None
    settings = store.place.backend
    options = {"aws_region": settings.region, "aws_endpoint": str(settings.endpoint), "aws_allow_http": "true", "aws_conditional_put": "etag"}
    options |= {"aws_access_key_id": str(settings.access_key), "aws_secret_access_key": str(settings.secret_key)}
    return f"{settings.url}/{folder}", options
