"""Carrying an erasure out: promised in the ledger first, then the bytes go, then a signed statement says what went.

A kill at any moment leaves either nothing, or a promise that the same command, or `recover`, keeps: every step can be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from tracecore.errors import AnswerIsNo
from tracecore.gone import Gone
from tracecore.locks import hold_run, own_store
from tracecore.store import Store, open_store
from tracecore.store.erasing import without_statistics
from tracecore_lineage import lookup, times
from tracecore_lineage.recover import OpenRun, open_runs, try_gone
from tracecore_lineage.retention.sweeping import sweep
from tracecore_lineage.retention.tombstones import JOBS, WITHDRAWAL, Erased, Erasure, statement, tombstones
from tracecore_lineage.sealing.envelope import seal_payload
from tracecore_lineage.stored import stored_artifacts
from tracecore_schemas.canonical import digest_bytes, jcs
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["alone", "carry_out", "finish_promised", "log_of", "promise"]

_DATA = "/_delta_log/"


@contextmanager
def alone(record: RecordWriter, doing: str) -> Iterator[None]:
    """Have the store alone: no live run reads or writes, and none begins.

    Args:
        record: the workspace's.
        doing: what is to be done, for the error.

    Raises:
        AnswerIsNo: a run is live; it is named, and left alone.
    """
    with own_store(record.workspace.locks) as held:
        live = _live(record)
        if live:
            raise AnswerIsNo(
                f"Nothing is {doing} while a run is live: run/{live[0].id} ({live[0].job}) and what it reads and writes are left alone. "
                "Do the same again when it has ended."
            )
        if not held:
            raise AnswerIsNo(f"Nothing is {doing} while somebody stands on the stored bytes: a build is going on. Do the same again when it is done.")
        yield


def _live(record: RecordWriter) -> list[OpenRun]:
    live: list[OpenRun] = []
    for run in open_runs(record):
        if run.job not in JOBS:
            with try_gone(record, run) as gone:
                if not gone:
                    live.append(run)
    return live


def promise(record: RecordWriter, erasure: Erasure, work: Callable[[Connection], None] | None = None) -> Erasure:
    """Record what will go, durably: from here on nothing of it is given to anybody.

    Args:
        record: the workspace's.
        erasure: what will go.
        work: further rows to change in the same transaction.
    """
    body = record.events.erasure(erasure, datetime.fromisoformat(erasure.at))

    def append(connection: Connection) -> int:
        if work is not None:
            work(connection)
        return record.append_bodies(connection, [body])[0].seq

    return replace(erasure, seq=record.together(append))


def carry_out(record: RecordWriter, erasure: Erasure) -> Erasure:
    """Take away what was promised and record that it is gone; whoever calls has the store alone.

    Returns:
        What was done, with the signed statement.
    """
    store = open_store(record.workspace)
    with hold_run(record.workspace.locks, erasure.run), _held(record, erasure.run):
        _take(store, erasure)
        if erasure.what == WITHDRAWAL:
            sweep(record, store, erasure)
        with record.database.read() as connection:
            done = _as_done(store, erasure, stored_artifacts(connection, record.namespace))
        key = record.keys.private()
        signed = replace(done, done=True, envelope=seal_payload(jcs(statement(done, key.public.id)), key))
        # After its START whatever the clock says: of two facets the later one stands.
        at = max(times.now(), times.instant(datetime.fromisoformat(erasure.at)))
        body = record.events.erasure(signed, datetime.fromisoformat(at))

        def append(connection: Connection) -> None:
            if lookup.ending(connection, erasure.run) is None:
                record.append_bodies(connection, [body])

        record.together(append)
    return signed


@contextmanager
def _held(record: RecordWriter, run_id: str) -> Iterator[None]:
    """Hold the lock of the erasure's run that a team's other hosts see."""
    record.live.hold(run_id)
    try:
        yield
    finally:
        record.live.release(run_id)


def _take(store: Store, erasure: Erasure) -> None:
    """Remove and rewrite the promised files; what is done already is left as it is."""
    files = [gone for version in erasure.versions for gone in version.files]
    data = {gone.path for gone in files if _DATA not in gone.path}
    # Statistics first: after a kill between the two the log at least says nothing of rows that are still there.
    for path in sorted({gone.path for gone in files if _DATA in gone.path}):
        _strip(store, path, data)
    for path in sorted({gone.path for gone in files if _DATA not in gone.path and gone.left}):
        _rewrite_rows(store, path, erasure.drives)
    store.erase(sorted({gone.path for gone in files if not gone.left}))


def _strip(store: Store, path: str, data: set[str]) -> str | None:
    """Take the statistics of erased files out of a commit; give the digest of what stands there then."""
    commit = store.read(path)
    if commit is None:
        return None
    table = path.partition(_DATA)[0]
    bare = without_statistics(commit, {each.removeprefix(f"{table}/") for each in data if each.startswith(f"{table}/")})
    if bare != commit:
        store.rewrite(path, bare)
    return digest_bytes(bare)


def _rewrite_rows(store: Store, path: str, drives: Sequence[str]) -> None:
    from tracecore_lineage.retention.mixed_rows import without_drives

    kept = store.read(path)
    if kept is None:
        return
    bare = without_drives(kept, drives)
    if bare is not None:
        store.rewrite(path, bare)


def log_of(store: Store, artifact: Artifact, data: set[str]) -> list[Gone]:
    """Give the log files of a table's version that say something of erased data files: they are to be rewritten without their statistics.

    Args:
        store: where the table lies.
        artifact: a version, whose log may reach further back than its files.
        data: paths of erased data files, relative to the store's root.
    """
    table = str(artifact.location)
    names = {path.removeprefix(f"{table}/") for path in data if path.startswith(f"{table}/")}
    found: list[Gone] = []
    for name, digest in artifact.delta.log if artifact.delta and names else ():
        path = f"{table}{_DATA}{name}"
        commit = store.read(path)
        if commit is not None and not any(one.encode() in commit for one in names):
            continue
        bare = None if commit is None else without_statistics(commit, names)
        if bare is not None and bare == commit and digest_bytes(bare) == digest:
            continue
        found.append(Gone(path, digest, 0 if commit is None else len(commit), None, None if bare is None else digest_bytes(bare)))
    return found


def _as_done(store: Store, erasure: Erasure, stored: Sequence[Artifact]) -> Erasure:
    """Say what went as it lies there now; versions that a log is shared with, and that came between the promise and now, are named too."""
    data = {gone.path for version in erasure.versions for gone in version.files if _DATA not in gone.path}
    tables = {version.location for version in erasure.versions if version.version is not None}
    versions: list[Erased] = []
    seen: set[tuple[str, str, int | None]] = set()
    for version in erasure.versions:
        seen.add((version.ref, version.location, version.version))
        versions.append(replace(version, files=tuple(_now(store, gone) for gone in version.files if _DATA not in gone.path)))
    if erasure.what != WITHDRAWAL:
        return replace(erasure, versions=tuple(versions))
    for artifact in stored:
        if artifact.media is not Media.DELTA or artifact.location not in tables or artifact.delta is None:
            continue
        place = (artifact.ref, str(artifact.location), artifact.delta.version)
        log = tuple(log_of(store, artifact, data))
        if place in seen:
            versions = [replace(each, files=(*each.files, *log)) if (each.ref, each.location, each.version) == place else each for each in versions]
        elif log:
            versions.append(Erased(*place, readable=True, files=log))
    return replace(erasure, versions=tuple(versions))


def _now(store: Store, gone: Gone) -> Gone:
    """Give what lies in the place of a file that was to be rewritten."""
    if gone.left is None:
        return gone
    left = store.read(gone.path)
    return replace(gone, left=None if left is None else digest_bytes(left))


def finish_promised(record: RecordWriter) -> list[Erasure]:
    """Carry out every erasure that was promised and whose process is gone; whoever calls has the store alone."""
    with record.database.read() as connection:
        unfinished = {erasure.run: erasure for erasure in tombstones(connection, record.namespace).unfinished}
    done: list[Erasure] = []
    for run in open_runs(record):
        if run.id in unfinished:
            with try_gone(record, run) as gone:
                pass
            if gone:
                done.append(carry_out(record, unfinished[run.id]))
    return done


def document(erasure: Erasure) -> dict[str, Any]:
    """Give what every answer about an erasure holds."""
    return {
        "run": f"run/{erasure.run}",
        "reason": erasure.reason,
        "at": erasure.at,
        "erased": [
            {"ref": version.ref, "files": len(version.files), "bytes": version.size_bytes, "rows": version.rows, "readable": version.readable}
            for version in erasure.versions
        ],
        "bytes": sum(version.size_bytes for version in erasure.versions),
        "builds": list(erasure.builds),
        "done": erasure.done,
    }
