"""Execution of an erasure: promised in the ledger, then bytes removed, then a signed statement of what was erased.

A crash leaves either nothing or a promise that the same command or `recover` completes: every step is repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from tracecore.store import Store, open_store
from tracecore.store.erasure import without_statistics
from tracecore.store.protocol import ErasedFile
from tracecore.system.locks import hold_run
from tracecore_lineage.catalog import current_state
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.stored_artifacts import newest_of_tables
from tracecore_lineage.catalog.tombstones import made_since, statement
from tracecore_lineage.crypto.envelope import seal_payload
from tracecore_lineage.model import rfc3339
from tracecore_lineage.model.erasure import WITHDRAWAL, Erasure
from tracecore_lineage.retention.cleanup import lies_in, sweep
from tracecore_lineage.retention.redaction import without_drives
from tracecore_schemas.arrow_tables import PARTITION
from tracecore_schemas.canonical import digest_bytes, jcs
from tracecore_schemas.run import Artifact

__all__ = ["carry_out", "promise", "rewritten_commits"]


def promise(recorder: RecordWriter, erasure: Erasure, work: Callable[[Connection], None] | None = None) -> Erasure:
    """Record, before any byte is removed, that an erasure begins; return it with its ledger position. From then on its files can't be opened.

    `work`, if given, is called first in the same transaction.
    """
    body = recorder.events.erasure(erasure, datetime.fromisoformat(erasure.at))

    def append(connection: Connection) -> int:
        if work is not None:
            work(connection)
        return recorder.append(connection, [body])[0].seq

    return replace(erasure, seq=recorder.commit(append))


def carry_out(recorder: RecordWriter, erasure: Erasure) -> Erasure:
    """Delete the bytes of an erasure recorded by `promise`, record its end, and return it with the signed tombstone. Needs the store lock."""
    store = open_store(recorder.workspace)
    with ExitStack() as locks:
        locks.enter_context(hold_run(recorder.workspace.locks, erasure.run))
        recorder.live.hold(erasure.run)  # visible to other hosts
        locks.callback(recorder.live.release, erasure.run)
        erasure = _without_rewritten(recorder, erasure)
        _erase_files(store, erasure)
        if erasure.what == WITHDRAWAL:
            sweep(recorder, store, erasure)
        versions = tuple(replace(version, files=tuple(_rehashed(store, gone) for gone in version.files)) for version in erasure.versions)
        done = replace(erasure, versions=versions, commits=tuple(_rehashed(store, gone) for gone in erasure.commits))
        key = recorder.keys.private()
        signed = replace(done, done=True, envelope=seal_payload(jcs(statement(done, key.public.id)), key))
        # Never before its START, even if the clock was set back: of two facets the later one counts.
        at = max(rfc3339.now(), rfc3339.instant(datetime.fromisoformat(erasure.at)))
        body = recorder.events.erasure(signed, datetime.fromisoformat(at))

        def append(connection: Connection) -> None:
            if current_state.ending(connection, erasure.run) is None:
                recorder.append(connection, [body])

        recorder.commit(append)
    return signed


def _without_rewritten(recorder: RecordWriter, erasure: Erasure) -> Erasure:
    """Return the erasure without files that a run stored again after the erasure was recorded."""
    with recorder.database.read() as connection:
        back = made_since(connection, recorder.ledger, erasure.seq)
    if not back:
        return erasure
    left = [replace(version, files=tuple(gone for gone in version.files if not lies_in(gone.path, back))) for version in erasure.versions]
    return replace(erasure, versions=tuple(version for version in left if version.files))


def _erase_files(store: Store, erasure: Erasure) -> None:
    """Delete an erasure's files; rewrite files that also have rows of other drives, and Delta logs with statistics on erased rows. Repeatable."""
    files = [gone for version in erasure.versions for gone in version.files]
    # Statistics first: after a crash in between, the log has no values of the rows, which still exist.
    names = _by_table(gone.path for gone in files)
    for gone in erasure.commits:
        for _, bare in _without_statistics(store, gone.path, names.get(gone.table, set()), erasure.drives):
            store.rewrite(gone.path, bare)
    for path in sorted({gone.path for gone in files if gone.left}):
        kept = store.read(path)
        rewritten = None if kept is None else without_drives(kept, erasure.drives)
        if rewritten is not None:
            store.rewrite(path, rewritten)
    store.erase(sorted({gone.path for gone in files if not gone.left}))


def _by_table(paths: Iterable[str]) -> dict[str, set[str]]:
    """Return {table folder: {`<run>/<file>`, …}} for paths of data files, which are `<table folder>/<run>/<file>`."""
    found: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        table, _, run = folder.rpartition("/")
        found.setdefault(table, set()).add(f"{run}/{name}")
    return found


def _without_statistics(store: Store, path: str, names: Collection[str], drives: Collection[str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (a Delta log file's bytes, its bytes without statistics on files `names` and on `drives`); nothing if it has no such statistics."""
    commit = store.read(path)
    bare = None if commit is None else without_statistics(commit, names, [(PARTITION, drive) for drive in drives])
    if commit is not None and bare is not None and bare != commit:
        yield commit, bare


def rewritten_commits(store: Store, stored: Iterable[Artifact], data: Iterable[str], drives: Collection[str]) -> Iterator[ErasedFile]:
    """Yield an `ErasedFile` for each Delta log file that has statistics on erased rows. Member `left` is the digest that rewriting will produce.

    `data` are the paths of the erased data files, relative to the store's root.
    """
    names = _by_table(data)
    for artifact in newest_of_tables(stored):
        for path in store.log(artifact):
            for commit, bare in _without_statistics(store, path, names.get(str(artifact.location), set()), drives):
                yield ErasedFile(path, digest_bytes(commit), len(commit), None, digest_bytes(bare))


def _rehashed(store: Store, gone: ErasedFile) -> ErasedFile:
    """Return a rewritten file with `left` set to the digest of its bytes now in the store (None if missing); a deleted file unchanged."""
    if gone.left is None:
        return gone
    left = store.read(gone.path)
    return replace(gone, left=None if left is None else digest_bytes(left))
