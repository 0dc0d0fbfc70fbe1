"""The ledger: producers that share commits against the same one after the other, and a batch of events against SQLite's own `executemany`."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from measure import Comparison, compare

from tracecore.workspace import Workspace
from tracecore_lineage import Record

__all__ = ["append_batch", "commit_together"]

THREADS = 16
EACH = 12
BATCH = 2_000


def _events(marks: Iterator[int], number: int) -> list[bytes]:
    """Return so many events that were never recorded before."""
    said = {"eventType": "START", "producer": "urn:bench", "schemaURL": "urn:bench:event", "job": {"namespace": "bench", "name": "load"}}
    return [
        json.dumps({**said, "eventTime": f"2026-01-01T00:00:00.{mark:06}Z", "run": {"runId": f"00000000-0000-7000-8000-{mark:012x}"}}).encode()
        for mark in (next(marks) for _ in range(number))
    ]


def commit_together(folder: Path, times: int) -> Comparison:
    """Events of many threads, each durable before the next of its thread, against the same events from one."""
    record = Record.open(Workspace.create(folder / "together"))
    marks = count()

    def ours() -> None:
        threads = [threading.Thread(target=_one_by_one, args=(record, _events(marks, EACH))) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    try:
        return compare(
            "ingest from 16 threads", f"{THREADS * EACH} events", "the same from one thread, a commit each",
            ours, lambda: _one_by_one(record, _events(marks, THREADS * EACH)), bound=1, times=times,
        )  # fmt: skip
    finally:
        record.close()


def _one_by_one(record: Record, events: list[bytes]) -> None:
    for event in events:
        record.ingest([event])


def append_batch(folder: Path, times: int) -> Comparison:
    """A batch of events checked, hashed, projected and kept in blocks, against plain rows of the same bytes; each in one durable transaction."""
    record = Record.open(Workspace.create(folder / "batch"))
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode=WAL")
    plain.execute("PRAGMA synchronous=FULL")
    plain.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    marks = count()

    def theirs() -> None:
        events = _events(marks, BATCH)
        plain.execute("BEGIN IMMEDIATE")
        plain.executemany("INSERT INTO event (body) VALUES (?)", [(event,) for event in events])
        plain.execute("COMMIT")

    def ours() -> None:
        record.ingest(_events(marks, BATCH))

    try:
        return compare("ingest a batch", f"{BATCH:,} events", "SQLite's executemany of the same bytes", ours, theirs, bound=40, times=times)
    finally:
        plain.close()
        record.close()
