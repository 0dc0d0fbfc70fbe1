"""Recovery: close the runs of processes that are gone.

A live run holds its run lock from START to its terminal event; the operating system lets go of it when the process dies. Only a run whose lock can be
taken is closed, as ABORT, and what it left in staging is removed. Anything else that it left (a file in the store that no event names) is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from tracecore.disk import clear_disk_errors
from tracecore.environment import host_name
from tracecore.locks import try_run
from tracecore.store import open_store
from tracecore_lineage import lookup
from tracecore_lineage.tables import RUN_EVENTS

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["WHY", "OpenRun", "Recovered", "elsewhere", "open_runs", "recover"]

WHY = "Its process is gone: closed by 'tracecore recover'."


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that was started and has not ended."""

    id: str
    job: str
    started_at: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did.

    Attributes:
        aborted: ids of the runs it closed.
        live: ids of open runs that it left alone: a process holds their lock, or they run on another machine of a team's record.
        removed: ids of the runs whose staging it removed.
    """

    aborted: tuple[str, ...]
    live: tuple[str, ...]
    removed: tuple[str, ...]


def open_runs(record: RecordWriter) -> list[OpenRun]:
    """Give the workspace's own runs that have not ended, oldest first; other producers' runs are theirs to end."""
    with record.database.read() as connection:
        return _open(connection, record.namespace)


def _open(connection: Connection, namespace: str) -> list[OpenRun]:
    ended = select(RUN_EVENTS.c.run_id).where(RUN_EVENTS.c.event_type.in_(lookup.TERMINAL))
    query = (
        select(RUN_EVENTS)
        .where(RUN_EVENTS.c.job_namespace == namespace, RUN_EVENTS.c.run_id.not_in(ended))
        .order_by(RUN_EVENTS.c.event_time, RUN_EVENTS.c.event_id)
    )
    found: dict[str, OpenRun] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, OpenRun(row.run_id, row.job_name, row.event_time, row.parent_run_id))
    return list(found.values())


def elsewhere(record: RecordWriter, run_id: str) -> bool:
    """Say whether a run of a record that several machines share (PostgreSQL) was started on another machine than this."""
    if record.database.dialect == "sqlite":
        return False
    with record.database.read() as connection:
        started = lookup.start_event(connection, run_id) or {}
    host = started.get("run", {}).get("facets", {}).get("tracecore_execution", {}).get("host")
    return host not in {None, host_name()}


def recover(record: RecordWriter) -> Recovered:
    """Close every run of a process that is gone and remove what crashed runs left in staging.

    Raises:
        UsageProblem: the workspace can't be written.
    """
    with clear_disk_errors(record.workspace.root):
        return _recover(record)


def _recover(record: RecordWriter) -> Recovered:
    locks = record.workspace.locks
    store = open_store(record.workspace)
    aborted: list[str] = []
    live: list[str] = []
    removed: list[str] = []
    for run in open_runs(record):
        with try_run(locks, run.id) as gone:
            # A run that a live run started is a part of it. Locks are files: of a team's other machines nothing can be known here.
            if not gone or run.parent in live or elsewhere(record, run.id):
                live.append(run.id)
            elif record.abort(run.id, WHY):
                aborted.append(run.id)
    for run_id in store.staged_runs():
        with try_run(locks, run_id) as gone:
            if gone and run_id not in live:
                store.discard(run_id)
                removed.append(run_id)
    return Recovered(tuple(aborted), tuple(live), tuple(removed))
