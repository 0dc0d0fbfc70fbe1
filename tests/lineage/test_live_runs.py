"""On a team's server a live run is known by its lock on every host, and a crashed one can be closed from any.

Modules: `ledger/dialects.py`, `ledger/live_runs.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.catalog.pseudonyms import pseudonym_of
from tracecore_lineage.ledger.database import ConnectionLost
from tracecore_lineage.retention.recover import Recovered, open_runs, recover
from tracecore_lineage.verify.doctor import examine

DATABASES = ("postgresql",)

STAGE = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from tracecore.workspace import Workspace
    from tracecore_lineage import Record
    from tracecore_schemas.run import Run
    record = Record.open(Workspace.create(sys.argv[1], slug="world"))
    run = Run(record.recorder.new_run_id(), "demo.model", datetime.now(UTC), host="another-host")
    record.recorder.start(run)
    print(run.id, flush=True)
    for line in sys.stdin:
        pass
""")


@pytest.fixture(autouse=True)
def _clocks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore_lineage.retention.recover._CLOCKS", timedelta(0))  # both hosts are this machine


@contextmanager
def another_host(world: RecordWorld, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process in the middle of a run, with a workspace folder and so lock files of its own, on a host of another name."""
    shutil.copytree(world.record.workspace.root, folder)
    with subprocess.Popen([sys.executable, "-c", STAGE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def until_the_server_has_noticed(postgres: PostgresServer) -> None:
    """Wait until the locks of a killed process are gone: the server learns of its end a moment later."""
    for _ in range(400):
        if postgres.ask(["SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"]) == [0]:
            return
        time.sleep(0.05)


def test_a_run_on_another_host_is_left_alone_while_it_lives_and_closed_when_it_is_gone(
    world: RecordWorld, postgres: PostgresServer, tmp_path: Path
) -> None:
    with another_host(world, tmp_path / "elsewhere") as (process, run):
        assert recover(world.record.recorder) == Recovered((), (run,), ())
        found = examine(world.record.recorder)
        assert [(entry["run"], entry["live"]) for entry in found["open_runs"]] == [(run, True)]
        process.kill()
        process.wait()
    until_the_server_has_noticed(postgres)
    assert [(entry["run"], entry["live"]) for entry in examine(world.record.recorder)["open_runs"]] == [(run, False)]
    assert recover(world.record.recorder).aborted == (run,)
    assert open_runs(world.record.recorder) == []


def test_a_run_that_ended_has_let_go_of_its_lock(world: RecordWorld, postgres: PostgresServer) -> None:
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    run = world.start("model")
    assert postgres.ask([held]) == [1]
    world.record.recorder.complete(run, [], {})
    assert postgres.ask([held]) == [0]
    failed, stopped = world.start("model"), world.start("model")
    world.record.recorder.fail(failed, "broke")
    world.record.recorder.abort(stopped.id, "stopped")
    assert postgres.ask([held]) == [0]
    world.all()
    world.seal()
    assert postgres.ask([held]) == [0], "the release run too"


def test_a_run_whose_server_was_started_anew_is_left_alone_until_it_says_that_it_lives(
    world: RecordWorld, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world.record.workspace.root, tmp_path / "elsewhere")
    with Record.open(tmp_path / "elsewhere") as other:
        run = RecordWorld(other).start("model", host="another-host")
        postgres.kill()
        postgres.start()
        assert recover(world.record.recorder).live == (run.id,), "nobody here can know"
        assert postgres.ask(["SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"]) == [0]
        with suppress(ConnectionLost):
            other.recorder.commit(pseudonym_of, "Ada")
        other.recorder.commit(pseudonym_of, "Bo")
        assert postgres.ask(["SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"]) == [1]
        monkeypatch.setattr("tracecore_lineage.retention.recover._CLOCKS", timedelta(days=-1))  # as if the run had begun long after the server
        assert recover(world.record.recorder).live == (run.id,), "its lock says so"
    until_the_server_has_noticed(postgres)
    assert recover(world.record.recorder).aborted == (run.id,)


def test_a_start_that_is_not_recorded_holds_no_lock(world: RecordWorld, postgres: PostgresServer) -> None:
    world.start("first")
    before = postgres.ask(["SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"])
    for path in world.record.workspace.keys.glob("*.pem"):
        path.unlink()
    world.record.recorder.keys._loaded = None
    with pytest.raises(Exception, match="nothing can be signed"):
        world.start("model")
    assert postgres.ask(["SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"]) == before
