"""Runs without a terminal event, and whether their process is dead.

A run holds its run lock from START to its terminal event: a file lock that the operating system releases when the process dies, and, in a
shared record, a server lock visible to other hosts (`live_runs`). A run is dead only if both locks can be taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from tracecore.environment import host_name
from tracecore.system.locks import try_run
from tracecore_lineage.catalog import current_state
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.ledger.sql_tables import RUN_EVENTS, recorded_by

__all__ = ["OpenRun", "claim_dead", "lock_was_lost", "open_runs"]

_CLOCKS = timedelta(minutes=5)
"""Assumed maximum difference between the clocks of two hosts."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run without a terminal event."""

    id: str
    job: str
    started_at: str
    parent: str | None


def open_runs(record: RecordWriter) -> list[OpenRun]:
    """Return the workspace's own runs without a terminal event, oldest first."""
    ended = select(RUN_EVENTS.c.run_id).where(RUN_EVENTS.c.event_type.in_(current_state.TERMINAL))
    query = select(RUN_EVENTS).where(recorded_by(record.ledger), RUN_EVENTS.c.run_id.not_in(ended))
    found: dict[str, OpenRun] = {}
    with record.database.read() as connection:
        for row in connection.execute(query.order_by(RUN_EVENTS.c.event_time, RUN_EVENTS.c.event_id)):
            found.setdefault(row.run_id, OpenRun(row.run_id, row.job_name, row.event_time, row.parent_run_id))
    return list(found.values())


@contextmanager
def claim_dead(record: RecordWriter, run: OpenRun) -> Iterator[bool]:
    """Try to lock a run on this host and on the server; yield whether its process is dead. If so, its locks are held for the block."""
    with try_run(record.workspace.locks, run.id) as here:
        if not here:
            yield False
            return
        with record.live.attempt(run.id) as everywhere:
            yield everywhere and not lock_was_lost(record, run)


def lock_was_lost(record: RecordWriter, run: OpenRun) -> bool:
    """Whether the server restarted after a run on another host started, so that its lock may be lost; only that host knows whether it lives."""
    since = record.live.since()
    if since is None or datetime.fromisoformat(run.started_at) > since + _CLOCKS:
        return False
    with record.database.read() as connection:
        started = current_state.start_event(connection, run.id) or {}
    host = started.get("run", {}).get("facets", {}).get("tracecore_execution", {}).get("host")
    return host not in {None, host_name()}
