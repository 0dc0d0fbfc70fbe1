"""A PostgreSQL server that goes away: the writer learns what is known of its write, and may send the same again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fresh_record import BEGUN
from postgres_server import PostgresServer
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import ProgrammingError

from tracecore.errors import RunFailed
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.database import ConnectionLost

DATABASES = ("postgresql",)


def foreign(number: int) -> dict[str, Any]:
    return {
        "eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": f"0199c1f4-8f0e-7a31-9c55-{number:012x}"}, "job": {"namespace": "etl", "name": "load"},
    }  # fmt: skip


def cut_off(server: PostgresServer) -> None:
    """End every session that works in a transaction, as an administrator or a crash does."""
    server.ask(["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"])


def test_a_connection_lost_before_the_commit_leaves_nothing_and_says_so(world: RecordWorld, postgres: PostgresServer) -> None:
    world.record.recorder.keys.ensure()

    def work(connection: Connection) -> None:
        ledger.append(connection, [b"lost"], None)
        cut_off(postgres)
        connection.execute(text("SELECT 1"))

    with pytest.raises(ConnectionLost, match=r"can't be reached .*: nothing of this write is recorded. Send the same again") as lost:
        world.record.recorder.commit(work)
    assert (lost.value.durable, lost.value.exit_code) == (False, 3)
    assert world.record.recorder.position() == BEGUN + 0
    assert world.record.ingest([foreign(1)]).recorded == 1, "the next write finds the server again"


def test_a_connection_lost_during_the_commit_leaves_it_open_and_the_same_is_sent_again(world: RecordWorld, postgres: PostgresServer) -> None:
    world.record.ingest([foreign(0)])
    event.listen(world.record.database.engine, "commit", lambda _connection: cut_off(postgres), once=True)
    with pytest.raises(ConnectionLost, match=r"lost during the commit .*: whether it is recorded is not known. Send the same again") as lost:
        world.record.ingest([foreign(number) for number in range(20)])
    assert lost.value.durable is None
    again = world.record.ingest([foreign(number) for number in range(20)])
    assert (again.recorded, again.known) == (19, 1)
    assert world.record.ingest([foreign(number) for number in range(20)]).known == 20
    assert world.record.verify()["ok"]


def test_the_end_of_a_run_can_be_said_twice_with_the_same_bytes(world: RecordWorld) -> None:
    run = world.start("model")
    at = run.started_at
    body = world.record.recorder.events.complete(run, [], {}, None, at)
    world.record.recorder._end(run.id, body)
    world.record.recorder._end(run.id, body)
    assert world.record.recorder.position() == BEGUN + 2
    with pytest.raises(RunFailed, match="was closed as COMPLETE"):
        world.record.recorder.complete(run, [], {})


def test_a_transaction_that_the_server_has_undone_is_never_acknowledged(world: RecordWorld) -> None:
    def swallowed(connection: Connection) -> None:
        ledger.append(connection, [b"gone"], lambda _size, _root: "note")
        with suppress(ProgrammingError):  # the mistake that is looked at
            connection.execute(text("SELECT no_such_function()"))

    with (
        pytest.raises(RunFailed, match="has undone what was to be written, so nothing of it is recorded"),
        world.record.database.write() as connection,
    ):
        swallowed(connection)
    assert world.record.recorder.position() == BEGUN + 0


def test_a_server_killed_and_started_again_is_found_again_with_everything_acknowledged(world: RecordWorld, postgres: PostgresServer) -> None:
    world.record.ingest([foreign(number) for number in range(3)])
    postgres.kill()
    try:
        with pytest.raises(ConnectionLost, match="nothing of this write is recorded"):
            world.record.ingest([foreign(3)])
        with pytest.raises(ConnectionLost, match=r"can't be reached|was lost"):
            world.record.ingest([foreign(3)])
    finally:
        postgres.start()
    assert world.record.ingest([foreign(number) for number in range(4)]).known == 3
    assert world.record.verify()["ok"]


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_writers_wait_for_each_other_whatever_isolation_the_server_has_by_default(
    world: RecordWorld, postgres: PostgresServer, isolation: str
) -> None:
    import threading

    name = world.record.database.url.database
    postgres.ask([f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"])
    try:
        records = [Record.open(world.record.workspace) for _ in range(4)]
        threads = [
            threading.Thread(target=lambda record=record, first=first: [record.ingest([foreign(first + number)]) for number in range(5)])
            for first, record in zip((0, 100, 200, 300), records, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for record in records:
            record.close()
    finally:
        postgres.ask([f"ALTER DATABASE {name} RESET default_transaction_isolation"])
    assert world.record.recorder.position() == BEGUN + 20
    assert world.record.verify()["ok"]


def test_a_server_that_does_not_wait_for_its_disk_is_made_to_for_our_commits(world: RecordWorld, postgres: PostgresServer) -> None:
    name = world.record.database.url.database
    postgres.ask([f"ALTER DATABASE {name} SET synchronous_commit = off"])
    try:
        with Record.open(world.record.workspace) as record, record.database.write() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    finally:
        postgres.ask([f"ALTER DATABASE {name} RESET synchronous_commit"])
