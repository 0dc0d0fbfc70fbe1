"""Recovery closes the runs of processes that are gone, and no others.

Modules: `retention/recover.py`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracecore.store.local import LocalStore
from tracecore.system.locks import hold_run
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.retention.recover import open_runs, recover
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind

DATABASES = ("sqlite", "postgresql")
STAGE = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from tracecore.system.locks import hold_run
    from tracecore.store.local import LocalStore
    from tracecore_lineage import Record
    from tracecore_schemas.run import Run
    record = Record.open(sys.argv[1])
    run = Run(record.recorder.new_run_id(), "demo.model", datetime.now(UTC))
    with hold_run(record.workspace.locks, run.id):
        record.recorder.start(run)
        (LocalStore(record.workspace).staging(run.id) / "half").write_bytes(b"written")
        print(run.id, flush=True)
        sys.stdin.read()
""")


@contextmanager
def running(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process in the middle of a run."""
    with subprocess.Popen([sys.executable, "-c", STAGE, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_killed_run_is_closed_as_abort_and_its_staging_removed(world: RecordWorld) -> None:
    with running(world.record.workspace.root) as (process, run):
        assert [run.id for run in open_runs(world.record.recorder)] == [run]
        process.send_signal(signal.SIGKILL)
    done = recover(world.record.recorder)
    assert (done.aborted, done.live, done.removed) == ((run,), (), (run,))
    shown = world.record.query(show, f"run/{run}", workspace=world.record.workspace)
    assert (shown["state"], shown["error"]) == ("ABORT", "Its process is gone: closed by 'tracecore recover'.")
    assert LocalStore(world.record.workspace).staged_runs() == []
    assert recover(world.record.recorder).aborted == ()
    assert examine(world.record.recorder)["ok"]


def test_a_live_run_is_left_alone_with_what_it_has_staged(world: RecordWorld) -> None:
    with running(world.record.workspace.root) as (_, run):
        done = recover(world.record.recorder)
        assert (done.aborted, done.live, done.removed) == ((), (run,), ())
        assert LocalStore(world.record.workspace).staged_runs() == [run]
        assert world.record.query(show, f"run/{run}", workspace=world.record.workspace)["state"] == "OPEN"


def test_a_run_that_a_live_run_started_is_a_part_of_it(world: RecordWorld) -> None:
    from tracecore_schemas.run import Parent

    with Record.open(world.record.workspace.root) as crashed:
        parent = RecordWorld(crashed).start("drives", StageKind.INGEST)
        child = RecordWorld(crashed).start("drives.drive_log", StageKind.INGEST, parent=Parent(parent.id, parent.job, "world"))
    with hold_run(world.record.workspace.locks, parent.id):
        assert recover(world.record.recorder).live == (parent.id, child.id)
    assert recover(world.record.recorder).aborted == (parent.id, child.id)


def test_open_runs_of_other_producers_are_theirs_to_end(world: RecordWorld) -> None:
    foreign = {
        "eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": "0199c1f4-8f0e-7a31-9c55-1b6a3f1f2a10"}, "job": {"namespace": "etl", "name": "load"},
    }  # fmt: skip
    world.record.ingest([foreign])
    assert open_runs(world.record.recorder) == []
    assert recover(world.record.recorder).aborted == ()


def test_two_recoveries_at_once_close_a_run_once(world: RecordWorld) -> None:
    with Record.open(world.record.workspace.root) as crashed:
        run = RecordWorld(crashed).start("model", StageKind.TRAIN)
    with Record.open(world.record.workspace.root) as other:
        assert sorted([*recover(world.record.recorder).aborted, *recover(other.recorder).aborted]) == [run.id]
    assert world.record.query(catalog_differences, world.record.ledger) == []
