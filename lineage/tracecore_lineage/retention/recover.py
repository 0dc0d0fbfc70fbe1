"""Recovery: runs of dead processes are closed as ABORT, their staging is removed, and interrupted rotations and erasures are completed."""

from __future__ import annotations

from dataclasses import dataclass

from tracecore.store import open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import own_store
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.model.erasure import JOBS
from tracecore_lineage.retention.cleanup import discard_staged
from tracecore_lineage.retention.open_runs import claim_dead, finish_promised, open_runs
from tracecore_lineage.seal import rotation

__all__ = ["WHY", "Recovered", "recover"]

WHY = "Its process is gone: closed by 'tracecore recover'."


@dataclass(frozen=True, slots=True)
class Recovered:
    """Result of a recovery, as run ids: closed runs, open runs that may be live, runs whose staging was deleted, completed erasures."""

    aborted: tuple[str, ...]
    live: tuple[str, ...]
    removed: tuple[str, ...]
    finished: tuple[str, ...] = ()


def recover(record: RecordWriter) -> Recovered:
    """Close every run of a dead process, delete its staging, and complete interrupted key rotations and erasures.

    An erasure is left for the next call while a build is running. Raises UsageError if the workspace can't be written.
    """
    aborted: list[str] = []
    live: dict[str, None] = {}
    promised = False
    finished: tuple[str, ...] = ()
    with clear_disk_errors(record.workspace.root):
        rotation.finish(record)
        for run in open_runs(record):
            with claim_dead(record, run) as dead:
                if not dead or run.parent in live:  # a run started by a live run is part of it
                    live[run.id] = None
                elif run.job in JOBS:
                    promised = True
                elif record.abort(run.id, WHY):
                    aborted.append(run.id)
        removed = discard_staged(record, open_store(record.workspace), live)
        if promised:
            with own_store(record.workspace.locks) as held:
                if held:  # else a build is running, and the erasure stays promised
                    finished = tuple(erasure.run for erasure in finish_promised(record))
    return Recovered(tuple(aborted), tuple(live), tuple(removed), finished)
