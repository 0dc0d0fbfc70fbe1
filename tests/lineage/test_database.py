"""The database is durable, serves several writers at once, and says in one sentence why it can't be opened."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh_record import BEGUN
from sqlalchemy import text

from tracecore.errors import TracecoreError, UsageError
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.crypto import merkle
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.database import Database

WRITER = """
import sys
from datetime import UTC, datetime
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_schemas.run import Run
record = Record.open(sys.argv[1])
for number in range(int(sys.argv[2])):
    run = Run(record.recorder.new_run_id(), f"demo.{sys.argv[3]}", datetime.now(UTC))
    record.recorder.start(run)
    print(run.id, flush=True)
    record.recorder.complete(run, [], {})
    print("done", run.id, flush=True)
"""


DATABASES = ("sqlite", "postgresql")


def opened(folder: Path) -> Database:
    workspace = Workspace.create(folder)
    return Database(workspace.catalog_url, workspace.locks)


@pytest.fixture
def database(database_url: str | None, tmp_path: Path) -> Iterator[Database]:
    del database_url
    made = opened(tmp_path / "workspace")
    yield made
    made.close()


def test_a_commit_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    database = opened(tmp_path / "workspace")
    with database.write() as connection:
        settings = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")}
        busy = connection.execute(text("PRAGMA busy_timeout")).scalar_one()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # synchronous 2 is FULL
    database.close()
    assert busy >= 10_000


def test_a_reader_sees_one_moment_and_waits_for_no_writer(database: Database) -> None:
    with database.read() as reader:
        assert ledger.head(reader).size == 0
        with database.write() as writer:
            ledger.append(writer, [b"a"], lambda _size, _root: "note")
            with database.read() as other:
                assert ledger.head(other).size == 0
        assert ledger.head(reader).size == 0
    with database.read() as reader:
        assert ledger.head(reader).size == 1


def test_writers_of_several_threads_follow_each_other(database: Database) -> None:
    def write(name: str) -> None:
        for number in range(20):
            with database.write() as connection:
                ledger.append(connection, [f"{name} {number}".encode()], lambda _size, _root: "note")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        head = ledger.head(connection)
        assert head.size == 80
        assert merkle.root_of(ledger.leaves(connection, 80)) == head.root


@pytest.mark.usefixtures("database_url")
def test_two_processes_open_a_new_workspace_and_write_at_once(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(workspace.root), "8", name], stdout=subprocess.PIPE) for name in ("a", "b")]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0]
    with Record.open(workspace) as record, record.database.read() as connection:
        head = ledger.head(connection)
        assert head.size == BEGUN + 32
        assert merkle.root_of(ledger.leaves(connection, BEGUN + 32)) == head.root
        assert record.query(catalog_differences, record.ledger) == []
        assert len(record.recorder.keys.public_keys()) == 1


@pytest.mark.usefixtures("database_url")
def test_kill_9_leaves_an_open_run_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(workspace.root), "1000", "a"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(9)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.read().split("\n")
    started = {line for line in said if line and not line.startswith("done") and len(line) == 36}
    done = {line.removeprefix("done ") for line in said if line.startswith("done ") and len(line) == 41}
    assert done
    with Record.open(workspace) as record, record.database.read() as connection:
        events = {(row.run_id, row.event_type) for row in connection.execute(text("SELECT run_id, event_type FROM catalog_run_event"))}
        assert {(run, "START") for run in started} <= events
        assert {(run, "COMPLETE") for run in done} <= events
        head = ledger.head(connection)
        assert merkle.root_of(ledger.leaves(connection, head.size)) == head.root
        assert record.query(catalog_differences, record.ledger) == []


def test_an_opened_workspace_is_quick_to_open_again(tmp_path: Path) -> None:
    opened(tmp_path / "workspace").close()
    Record.open(tmp_path / "workspace").close()  # begins its ledger
    took = []
    for _ in range(5):
        began = time.perf_counter()
        opened(tmp_path / "workspace").close()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.2
    code = (
        "import sys; from tracecore_lineage import Record; Record.open(sys.argv[1]); "
        "assert not [name for name in ('alembic', 'openlineage') if name in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "workspace")], check=True)


def test_a_closed_database_leaves_one_file(tmp_path: Path) -> None:
    database = opened(tmp_path / "workspace")
    with database.write() as connection:
        ledger.append(connection, [b"a"], lambda _size, _root: "note")
    database.close()
    assert [path.name for path in (tmp_path / "workspace").glob("record.db*")] == ["record.db"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://root@host/db", "names the driver 'mysql': expected sqlite:///PATH or postgresql"),
        ("postgresql://host/db", "names the driver 'postgresql'"),
        ("sqlite://", "names no SQLite file"),
        ("what", "is not a database URL"),
    ],
)
def test_a_url_that_is_no_catalog_is_refused(tmp_path: Path, url: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    monkeypatch.setenv("TRACECORE_CATALOG_URL", url)
    with pytest.raises(UsageError, match=why):
        Record.open(workspace.root)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    (workspace.root / "record.db").write_bytes(b"this is no SQLite file, and long enough to be looked at" * 100)
    with pytest.raises(TracecoreError, match=r"record\.db can't be opened: file is not a database") as caught:
        Record.open(workspace)
    assert caught.value.exit_code == 2


def test_a_full_disk_is_one_sentence_and_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    with Record.open(Workspace.create(tmp_path / "workspace")) as record:
        with record.database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        record.database.close()
        creator = record.database.engine.pool._creator

        def small() -> sqlite3.Connection:
            made = creator()
            made.execute(f"PRAGMA max_page_count={pages}")
            return made

        record.database.engine.pool._creator = small
        with pytest.raises(TracecoreError, match="The disk is full"), record.database.write() as connection:
            ledger.append(connection, [b"x" * 100_000], lambda _size, _root: "note")
        assert record.recorder.position() == BEGUN + 0


READER = """
import sys
from tracecore_lineage import Record
from tracecore_lineage.catalog.pseudonyms import pseudonym_of
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.seal.key_events import rotate_key
from tracecore.errors import TracecoreError
record = Record.open(sys.argv[1])
print(record.recorder.position(), record.query(catalog_differences, record.ledger))
event = {"eventTime": "2026-11-22T15:39:45Z", "producer": "p", "schemaURL": "s", "job": {"namespace": "n", "name": "j"}}
for attempt in (lambda: record.recorder.commit(pseudonym_of, "Ada"), lambda: record.ingest([event]), lambda: rotate_key(record.recorder)):
    try:
        attempt()
    except TracecoreError as error:
        print(error.exit_code, error)
"""


def test_a_record_on_a_read_only_mount_answers_and_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    with Record.open(Workspace.create(folder)) as record:
        record.recorder.keys.ensure()
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*unshare, mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a folder read-only (unshare --mount)")
    command = [*unshare, f'{mount} && exec "$0" "$@"', sys.executable, "-c", READER, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    position, *errors = answer.stdout.splitlines()
    assert position == "2 []"
    assert [error[:2] for error in errors] == ["2 ", "2 ", "2 "]
    assert all("it lies on a read-only file system" in error for error in errors), errors
