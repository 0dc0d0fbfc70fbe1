"""Recovery: closes the runs of dead processes.

A live run holds its run lock from START to its terminal event: a file lock, which the operating system releases when the process dies, and, where a
team shares the record, a server lock visible to other hosts (`live_runs`). Only a run whose locks can all be taken is closed, as ABORT, and its
staging is removed. Its other remains (a file in the store that no event names) are harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from tracecore.environment import host_name
from tracecore.store import open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import own_store, try_run
from tracecore_lineage.catalog import current_state
from tracecore_lineage.catalog.tombstones import JOBS
from tracecore_lineage.ledger.sql_tables import RUN_EVENTS, recorded_by
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal import rotation

if TYPE_CHECKING:
    from tracecore_lineage.catalog.recorder import RecordWriter

__all__ = ["WHY", "OpenRun", "Recovered", "forgotten", "open_runs", "recover", "try_gone"]

_CLOCKS = timedelta(minutes=5)
"""Assumed largest difference between the clocks of two hosts."""
WHY = "Its process is gone: closed by 'tracecore recover'."


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run without a terminal event."""

    id: str
    job: str
    started_at: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """Result of a recovery, as run ids.

    Attributes:
        aborted: closed runs.
        live: open runs left alone: a process here or elsewhere holds their lock, or that can't be known.
        removed: runs whose staging was removed.
        finished: erasures carried out.
    """

    aborted: tuple[str, ...]
    live: tuple[str, ...]
    removed: tuple[str, ...]
    finished: tuple[str, ...] = ()


def open_runs(record: RecordWriter) -> list[OpenRun]:
    """Return the workspace's own runs without a terminal event, oldest first."""
    with record.database.read() as connection:
        return _open(connection, record.ledger)


def _open(connection: Connection, own: LedgerName) -> list[OpenRun]:
    ended = select(RUN_EVENTS.c.run_id).where(RUN_EVENTS.c.event_type.in_(current_state.TERMINAL))
    query = select(RUN_EVENTS).where(recorded_by(own), RUN_EVENTS.c.run_id.not_in(ended)).order_by(RUN_EVENTS.c.event_time, RUN_EVENTS.c.event_id)
    found: dict[str, OpenRun] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, OpenRun(row.run_id, row.job_name, row.event_time, row.parent_run_id))
    return list(found.values())


@contextmanager
def try_gone(record: RecordWriter, run: OpenRun) -> Iterator[bool]:
    """Try the locks of a run, here and on the server; where all are had its process is gone, and they are held inside the block."""
    with try_run(record.workspace.locks, run.id) as here:
        if not here:
            yield False
            return
        with record.live.attempt(run.id) as everywhere:
            yield everywhere and not forgotten(record, run)


def forgotten(record: RecordWriter, run: OpenRun) -> bool:
    """Whether the server lost the lock of a live run on another host by a restart: the run takes it again at its next write.

    The run takes its lock again when it next writes. Until then its own host alone can tell it from a crashed one.
    """
    since = record.live.since()
    if since is None or datetime.fromisoformat(run.started_at) > since + _CLOCKS:
        return False
    with record.database.read() as connection:
        started = current_state.start_event(connection, run.id) or {}
    host = started.get("run", {}).get("facets", {}).get("tracecore_execution", {}).get("host")
    return host not in {None, host_name()}


def recover(record: RecordWriter) -> Recovered:
    """Close every run of a dead process and remove what crashed runs left in staging.

    Raises:
        UsageError: the workspace can't be written.
    """
    with clear_disk_errors(record.workspace.root):
        return _recover(record)


def _recover(record: RecordWriter) -> Recovered:
    rotation.finish(record)
    locks = record.workspace.locks
    store = open_store(record.workspace)
    aborted: list[str] = []
    live: dict[str, None] = {}
    removed: list[str] = []
    unfinished: list[str] = []
    for run in open_runs(record):
        with try_gone(record, run) as gone:
            if not gone or run.parent in live:  # a run that a live run started is a part of it
                live[run.id] = None
            elif run.job in JOBS:
                unfinished.append(run.id)
            elif record.abort(run.id, WHY):
                aborted.append(run.id)
    for run_id in store.staged_runs():
        with try_run(locks, run_id) as gone:
            if gone and run_id not in live:
                store.discard(run_id)
                removed.append(run_id)
    return Recovered(tuple(aborted), tuple(live), tuple(removed), _finish(record, unfinished))


def _finish(record: RecordWriter, unfinished: list[str]) -> tuple[str, ...]:
    """Carry out promised erasures, unless a build is running: they are never given up."""
    if not unfinished:
        return ()
    from tracecore_lineage.retention.erasures import finish_promised

    with own_store(record.workspace.locks) as held:
        return tuple(erasure.run for erasure in finish_promised(record)) if held else ()
