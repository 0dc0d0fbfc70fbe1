"""The record: appending events against plain inserts of the same bytes, tracing against plain reads of the same rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from measure import Comparison, compare

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.seal.seal import seal_build
from tracecore_schemas.build import SealRequest
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import Media, StageKind
from tracecore_schemas.run import Artifact, Origin, Run, RunInput

__all__ = ["append", "trace"]

RUNS = 100


def _artifact(kind: str, name: str, content: str, origin: bool = False) -> Artifact:
    digest = digest_bytes(content.encode())
    return Artifact(kind, name, digest, Media.NONE, size_bytes=1, origin=Origin(name, digest, 1, "drive file") if origin else None)


def _chain(record: Record, length: int, mark: str) -> tuple[Artifact, Artifact, str]:
    """Record a chain of runs, each reading what the one before made and a drive of its own; give program, last artifact and its run."""
    program = _artifact("program", "bench", "bench", origin=True)
    made, maker = _artifact("drive_log", "first", f"first {mark}", origin=True), None
    for number in range(length):
        run = Run(
            record.recorder.new_run_id(), f"bench.step{number}", datetime.now(UTC), stage=StageKind.CURATE, params={"n": number}, program=program
        )
        drive = _artifact("drive_log", f"d{number}", f"{mark} {number}", origin=True)
        record.recorder.start(run)
        made_before, made = made, _artifact("dataset", f"bench.step{number}", f"{mark} made {number}")
        record.recorder.complete(
            run, [RunInput("program", program), RunInput("frames", made_before, maker), RunInput("drive_log", drive)], {"out": made}
        )
        maker = run.id
    assert maker is not None
    return program, made, maker


def append(folder: Path, times: int) -> Comparison:
    """START and COMPLETE of runs, each durable, against raw inserts of the same bytes with the same durability."""
    record = Record.open(Workspace.create(folder / "append"))
    _chain(record, 1, "warm")
    with record.database.read() as connection:
        bodies = [bytes(row[0]) for row in connection.exec_driver_sql("SELECT body FROM ledger_event ORDER BY seq DESC LIMIT 2")]
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode=WAL")
    plain.execute("PRAGMA synchronous=FULL")
    plain.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    marks = iter(range(10_000))

    def ours() -> None:
        _chain(record, RUNS, f"a{next(marks)}")

    def theirs() -> None:
        for _ in range(RUNS):
            for body in bodies:
                plain.execute("BEGIN IMMEDIATE")
                plain.execute("INSERT INTO event (body) VALUES (?)", (body,))
                plain.execute("COMMIT")

    try:
        return compare("record a run (2 events)", f"{RUNS} runs", "raw SQLite inserts, synchronous=FULL", ours, theirs, bound=30, times=times)
    finally:
        plain.close()
        record.close()


def trace(folder: Path, times: int) -> Comparison:
    """The whole trace of a sealed build against reading every row of the catalog it is in."""
    record = Record.open(Workspace.create(folder / "trace"))
    program, last, maker = _chain(record, RUNS * 2, "t")
    release = Run(record.recorder.new_run_id(), "bench.release", datetime.now(UTC), program=program)
    record.recorder.start(release)
    seal_build(record.recorder, SealRequest("bench", release, program, (("last", last, maker),), (), (), None))
    plain = sqlite3.connect(record.workspace.root / "record.db")

    def rows() -> Iterator[object]:
        for table in ("catalog_edge", "catalog_facet", "catalog_run_event", "catalog_check"):
            yield plain.execute(f"SELECT * FROM {table}").fetchall()

    try:
        return compare(
            "trace of a build", f"{RUNS * 2} runs deep", "reading the same rows plainly", lambda: record.trace("build/bench"), lambda: list(rows()),
            bound=300, times=times,
        )  # fmt: skip
    finally:
        plain.close()
        record.close()
