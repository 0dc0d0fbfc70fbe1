"""Runs without a terminal event, and recovery: runs of dead processes are closed as ABORT, and interrupted rotations and erasures are completed.

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
from tracecore.errors import NegativeVerdict
from tracecore.store import open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import own_store, try_run
from tracecore_lineage.catalog import current_state, replay
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.tombstones import tombstones
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import RUN_EVENTS, recorded_by
from tracecore_lineage.model.erasure import JOBS, Erasure
from tracecore_lineage.retention.cleanup import discard_staged
from tracecore_lineage.retention.erasures import carry_out
from tracecore_lineage.seal.key_events import finish_rotation

__all__ = ["WHY", "OpenRun", "Recovered", "claim_dead", "exclusive_store", "finish_promised", "lock_was_lost", "open_runs", "recover"]

_CLOCKS = timedelta(minutes=5)
"""Assumed maximum difference between the clocks of two hosts."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run without a terminal event."""

    id: str
    job: str
    started_at: str
    parent: str | None


def open_runs(recorder: RecordWriter) -> list[OpenRun]:
    """Return the runs that this workspace recorded and that have no terminal event, oldest first."""
    ended = select(RUN_EVENTS.c.run_id).where(RUN_EVENTS.c.event_type.in_(current_state.TERMINAL))
    query = select(RUN_EVENTS).where(recorded_by(recorder.ledger), RUN_EVENTS.c.run_id.not_in(ended))
    found: dict[str, OpenRun] = {}
    with recorder.database.read() as connection:
        for row in connection.execute(query.order_by(RUN_EVENTS.c.event_time, RUN_EVENTS.c.event_id)):
            found.setdefault(row.run_id, OpenRun(row.run_id, row.job_name, row.event_time, row.parent_run_id))
    return list(found.values())


@contextmanager
def claim_dead(recorder: RecordWriter, run: OpenRun) -> Iterator[bool]:
    """Yield whether a run's process is dead, by trying to lock the run on this host and on the server; the locks are held for the block."""
    with try_run(recorder.workspace.locks, run.id) as here:
        if not here:
            yield False
            return
        with recorder.live.attempt(run.id) as everywhere:
            yield everywhere and not lock_was_lost(recorder, run)


def lock_was_lost(recorder: RecordWriter, run: OpenRun) -> bool:
    """Whether a free lock doesn't prove a run dead, because another host runs it and the lock server may have restarted since the run's start."""
    since = recorder.live.since()
    if since is None or datetime.fromisoformat(run.started_at) > since + _CLOCKS:
        return False
    with recorder.database.read() as connection:
        started = current_state.start_event(connection, run.id) or {}
    host = started.get("run", {}).get("facets", {}).get("tracecore_execution", {}).get("host")
    return host not in {None, host_name()}


@contextmanager
def exclusive_store(recorder: RecordWriter, doing: str) -> Iterator[None]:
    """Hold the store lock exclusively for a block; NegativeVerdict if a run, build or export is live, or the catalog differs from the ledger.

    `doing` is a participle for errors, such as "pruned".
    """
    with own_store(recorder.workspace.locks) as held:
        _refuse_difference(recorder, doing)
        for run in (run for run in open_runs(recorder) if run.job not in JOBS):
            with claim_dead(recorder, run) as dead:
                if not dead:
                    raise NegativeVerdict(
                        f"Nothing is {doing} while a run is live: run/{run.id} ({run.job}) and what it reads and writes are left alone. "
                        "Do the same again when it has ended."
                    )
        if not held:
            raise NegativeVerdict(f"Nothing is {doing} while a build or export uses the stored bytes. Do the same again when it is done.")
        yield


def _refuse_difference(recorder: RecordWriter, doing: str) -> None:
    """Raise NegativeVerdict if the catalog differs from the ledger, since the files that no event names can't then be known."""
    with recorder.database.read() as connection:
        wrong = ledger.miscounted(connection)
        differs = None if wrong else next(replay.compare(connection, recorder.ledger), None)
    if differs is not None:
        wrong = f"The catalog is not what the ledger's events say (the row {differs.row} is {differs.what})"
    if wrong:
        raise NegativeVerdict(f"{wrong}, so that what is an orphan can't be known and nothing is {doing}: run 'tracecore verify'.")


def finish_promised(recorder: RecordWriter) -> list[Erasure]:
    """Carry out every erasure that was recorded but not completed, if its process is dead; return them. Needs the exclusive store lock."""
    with recorder.database.read() as connection:
        unfinished = {erasure.run: erasure for erasure in tombstones(connection, recorder.ledger).unfinished}
    done: list[Erasure] = []
    for run in open_runs(recorder):
        if run.id in unfinished:
            with claim_dead(recorder, run) as dead:
                pass
            if dead:
                done.append(carry_out(recorder, unfinished[run.id]))
    return done


WHY = "Its process is gone: closed by 'tracecore recover'."


@dataclass(frozen=True, slots=True)
class Recovered:
    """Result of a recovery, as run ids: closed runs, open runs that may be live, runs whose staging was deleted, completed erasures."""

    aborted: tuple[str, ...]
    live: tuple[str, ...]
    removed: tuple[str, ...]
    finished: tuple[str, ...] = ()


def recover(recorder: RecordWriter) -> Recovered:
    """Abort each run whose process is dead, delete its staged files, complete interrupted key rotations and erasures; return run ids by outcome.

    An erasure is left for the next call while a build is running. Raises UsageError if the workspace can't be written.
    """
    aborted: list[str] = []
    live: dict[str, None] = {}
    promised = False
    finished: tuple[str, ...] = ()
    with clear_disk_errors(recorder.workspace.root):
        finish_rotation(recorder)
        for run in open_runs(recorder):
            with claim_dead(recorder, run) as dead:
                if not dead or run.parent in live:  # a run started by a live run is part of it
                    live[run.id] = None
                elif run.job in JOBS:
                    promised = True
                elif recorder.abort(run.id, WHY):
                    aborted.append(run.id)
        removed = discard_staged(recorder, open_store(recorder.workspace), live)
        if promised:
            with own_store(recorder.workspace.locks) as held:
                if held:  # else a build is running, and the erasure stays promised
                    finished = tuple(erasure.run for erasure in finish_promised(recorder))
    return Recovered(tuple(aborted), tuple(live), tuple(removed), finished)
