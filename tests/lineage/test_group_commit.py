"""Callers that come at the same time share one transaction; each is answered for itself, and only when what it wrote is durable."""

from __future__ import annotations

import errno
import random
import signal
import string
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from fresh_record import BEGUN
from sqlalchemy import Connection, event

from tracecore.errors import RunFailed, UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.catalog.recorder import Position
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.crypto import merkle, notes
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.group_commit import GroupCommit
from tracecore_lineage.ledger.sql_tables import FACETS
from tracecore_lineage.retention.recover import open_runs

DATABASES = ("sqlite", "postgresql")


class Counted:
    """How often a database was asked to commit, and to make a savepoint."""

    def __init__(self, world: RecordWorld) -> None:
        self.commits = 0
        self.savepoints = 0
        event.listen(world.record.database.engine, "commit", self._commit)
        event.listen(world.record.database.engine, "savepoint", self._savepoint)

    def _commit(self, _connection: Connection) -> None:
        self.commits += 1

    def _savepoint(self, _connection: Connection, _name: str) -> None:
        self.savepoints += 1


@contextmanager
def held(world: RecordWorld, waiting: int) -> Iterator[None]:
    """Keep the write lock for the block, then until so many callers have come and wait in one group."""
    group = world.record.recorder._group
    with world.record.database.write():
        yield
        until = time.monotonic() + 20
        # One of them leads, and waits for the lock with those that had come by then.
        while len(group._waiting) < waiting and time.monotonic() < until:
            time.sleep(0.01)


def started(*calls: Callable[[], Any]) -> tuple[list[threading.Thread], list[Any]]:
    """Run each call in a thread of its own; gives what each returned or raised, in their order, once joined."""
    answers: list[Any] = [None] * len(calls)

    def run(place: int, call: Callable[[], Any]) -> None:
        try:
            answers[place] = call()
        except BaseException as error:  # noqa: BLE001  # that is what is looked at
            answers[place] = error

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    return threads, answers


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a caller was never answered"


def foreign(number: int) -> dict[str, Any]:
    return {
        "eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": f"0199c1f4-8f0e-7a31-9c55-{number:012x}"}, "job": {"namespace": "etl", "name": f"load{number}"},
    }  # fmt: skip


def appending(world: RecordWorld, body: bytes) -> Callable[[Connection], int]:
    """Work that appends bytes that are not an event, without a catalog row."""

    def work(connection: Connection) -> int:
        return ledger.append(connection, [body], None)[0].seq

    return work


def test_threads_that_come_at_once_share_commits_and_each_finds_its_own(world: RecordWorld) -> None:
    world.record.ingest([foreign(999)])
    counted = Counted(world)
    with held(world, 29):
        threads, answers = started(*(lambda number=number: world.record.ingest([foreign(number), foreign(number)]) for number in range(30)))
    joined(threads)
    assert [(answer.recorded, answer.known, answer.refused) for answer in answers] == [(1, 1, ())] * 30
    assert counted.commits <= 4, "the holder's own, the first leader's, and those of everybody else"
    assert world.record.recorder.position() == BEGUN + 31
    note = notes.parse(world.record.recorder.checkpoint())
    assert note.size == BEGUN + 31
    assert note.signed_by(world.record.recorder.keys.public_keys()) is not None
    with world.record.database.read() as connection:
        assert merkle.root_of(ledger.leaves(connection, BEGUN + 31)) == note.root == ledger.head(connection).root
    assert world.record.query(catalog_differences, world.record.ledger) == []


def test_a_lone_caller_has_a_transaction_of_its_own_and_no_savepoint(world: RecordWorld) -> None:
    world.record.ingest([foreign(0)])
    counted = Counted(world)
    world.record.ingest([foreign(1)])
    assert (counted.commits, counted.savepoints) == (1, 0)


def test_work_that_raises_gets_its_own_error_and_leaves_nothing_while_the_others_go_on(world: RecordWorld) -> None:
    world.record.recorder.keys.ensure()

    def bad(connection: Connection) -> None:
        ledger.append(connection, [b"bad"], None)
        raise LookupError("only mine")

    works = [appending(world, b"%d" % number) for number in range(6)]
    with held(world, 11):
        threads, answers = started(
            *(lambda work=work: world.record.recorder.commit(work) for pair in zip(works, [bad] * 6, strict=True) for work in pair)
        )
    joined(threads)
    assert sorted(answers[::2]) == list(range(BEGUN, BEGUN + 6))
    assert [(type(error), str(error)) for error in answers[1::2]] == [(LookupError, "only mine")] * 6
    with world.record.database.read() as connection:
        assert {leaf.body for leaf in ledger.read(connection, BEGUN)} == {b"%d" % number for number in range(6)}
        assert merkle.root_of(ledger.leaves(connection, BEGUN + 6)) == ledger.head(connection).root
    assert notes.parse(world.record.recorder.checkpoint()).size == BEGUN + 6


def test_where_the_transaction_itself_fails_every_caller_is_told_and_nothing_is_kept(world: RecordWorld) -> None:
    def full(_connection: Connection) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    group = GroupCommit(world.record.database, full)
    world.record.recorder._group = group
    with held(world, 4):
        threads, answers = started(*(lambda number=number: world.record.recorder.commit(appending(world, b"%d" % number)) for number in range(5)))
    joined(threads)
    assert all(isinstance(answer, Exception) and "No space left on device" in str(answer) for answer in answers), answers
    assert len({id(answer) for answer in answers}) == 5, "an error shared by threads would carry the others' traces"
    assert world.record.recorder.position() == BEGUN + 0


def test_a_disk_that_fills_up_for_one_keeps_nothing_of_anybody(world: RecordWorld) -> None:
    """SQLite then undoes the whole transaction, and what came after would commit by itself; PostgreSQL goes on from the savepoint."""
    world.record.recorder.keys.ensure()
    if world.record.database.dialect.shared:
        pytest.skip("a PostgreSQL server's disk can't be filled here")
    world.record.database.close()
    creator = world.record.database.engine.pool._creator

    def small() -> Any:
        made = creator()
        made.execute(f"PRAGMA max_page_count={made.execute('PRAGMA page_count').fetchone()[0]}")
        return made

    world.record.database.engine.pool._creator = small
    with held(world, 2):
        threads, answers = started(
            lambda: world.record.recorder.commit(appending(world, b"small")),
            lambda: world.record.recorder.commit(appending(world, b"x" * 1_000_000)),
            lambda: world.record.recorder.commit(appending(world, b"small too")),
        )
    joined(threads)
    full = [answer for answer in answers if isinstance(answer, UsageError) and "The disk is full" in str(answer)]
    kept = [answer for answer in answers if isinstance(answer, int)]
    assert len(full) + len(kept) == 3, answers
    assert answers[1] in full
    world.record.database.engine.pool._creator = creator
    world.record.database.close()
    assert world.record.recorder.position() == BEGUN + len(kept), "what was answered is there, and nothing else"
    with world.record.database.read() as connection:
        assert merkle.root_of(ledger.leaves(connection, BEGUN + len(kept))) == ledger.head(connection).root
    assert world.record.recorder.commit(appending(world, b"next")) == BEGUN + len(kept)


def test_one_callers_hostile_event_is_that_callers_alone(world: RecordWorld) -> None:
    world.record.recorder.keys.ensure()
    unindexable = "".join(random.Random(7).choices(string.ascii_letters, k=9_000))

    def hostile(connection: Connection) -> None:
        facet = {"event_id": "e", "subject": unindexable, "name": "n", "seq": 0, "event_time": "t", "value": "{}"}
        connection.execute(FACETS.insert(), [facet, facet])  # one key twice, and on PostgreSQL more than an index can hold

    with held(world, 3):
        threads, answers = started(
            *(lambda number=number: world.record.recorder.commit(appending(world, b"%d" % number)) for number in range(3)),
            lambda: world.record.recorder.commit(hostile),
        )
    joined(threads)
    assert isinstance(answers[3], UsageError)
    assert "INSERT" not in str(answers[3]), "one sentence, not the statement"
    assert sorted(answers[:3]) == [BEGUN, BEGUN + 1, BEGUN + 2]
    assert world.record.recorder.position() == BEGUN + 3


def test_a_signing_key_that_is_gone_is_said_to_every_caller_in_its_own_sentence(world: RecordWorld) -> None:
    world.record.ingest([foreign(0)])
    for path in world.record.workspace.keys.glob("*.pem"):
        path.unlink()
    world.record.recorder.keys._loaded = None
    with held(world, 2):
        threads, answers = started(*(lambda number=number: world.record.ingest([foreign(number)]) for number in range(1, 4)))
    joined(threads)
    assert [type(answer) for answer in answers] == [UsageError] * 3
    assert all("is missing, so that nothing can be signed" in str(answer) for answer in answers)
    assert world.record.recorder.position() == BEGUN + 1


def test_a_leader_that_is_stopped_wakes_everybody_with_a_sentence_and_the_next_caller_is_served(world: RecordWorld) -> None:
    world.record.recorder.keys.ensure()

    def stopped(_connection: Connection) -> None:
        raise KeyboardInterrupt

    with held(world, 3):
        threads, answers = started(lambda: world.record.recorder.commit(stopped))
        more, others = started(*(lambda number=number: world.record.recorder.commit(appending(world, b"%d" % number)) for number in range(3)))
    joined([*threads, *more])
    everybody = [*answers, *others]
    told = [str(answer) for answer in everybody if isinstance(answer, RunFailed)]
    assert sum(isinstance(answer, KeyboardInterrupt) for answer in everybody) == 1, "whoever led when it came"
    assert all("was stopped (KeyboardInterrupt), so that it is not known to be recorded. Send the same again" in words for words in told)
    recorded = [answer for answer in others if isinstance(answer, int)]
    assert world.record.recorder.position() == BEGUN + len(recorded), "only who was answered in an earlier transaction has left anything"
    assert world.record.recorder.commit(appending(world, b"next")) == BEGUN + len(recorded)


def test_who_is_interrupted_while_waiting_leaves_nobody_waiting_for_it(world: RecordWorld) -> None:
    world.record.recorder.keys.ensure()
    go = threading.Event()

    def slow(connection: Connection) -> int:
        go.wait(20)
        return ledger.append(connection, [b"slow"], None)[0].seq

    threads, answers = started(lambda: world.record.recorder.commit(slow))
    while not world.record.recorder._group._led or world.record.recorder._group._waiting:
        time.sleep(0.01)

    def alarm(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            world.record.recorder.commit(appending(world, b"given up"))
    finally:
        signal.signal(signal.SIGALRM, before)
    go.set()
    joined(threads)
    assert answers == [BEGUN]
    assert world.record.recorder.commit(appending(world, b"next")) == BEGUN + 1
    assert world.record.recorder.position() == BEGUN + 2


def test_a_transaction_inside_a_transaction_is_refused_instead_of_waiting_for_itself(world: RecordWorld) -> None:
    with pytest.raises(RuntimeError, match="pass its connection on"):
        world.record.recorder.commit(lambda _connection: world.record.ingest([foreign(1)]))
    with world.record.database.write(), pytest.raises(RuntimeError, match="pass its connection on"):
        world.record.ingest([foreign(1)])
    assert world.record.ingest([foreign(1)]).recorded == 1


def test_who_speaks_of_the_position_is_given_the_one_under_the_lock_with_a_checkpoint_over_it(world: RecordWorld) -> None:
    world.record.recorder.keys.ensure()
    seen: list[Position] = []

    def build(position: Position) -> bytes:
        seen.append(position)
        return world.record.recorder.events.fact("test", world.record.recorder.new_run_id(), {}, datetime.now(UTC))[0]

    with held(world, 15):
        threads, answers = started(
            *(lambda: world.record.recorder.append_with(build) for _ in range(8)),
            *(lambda number=number: world.record.ingest([foreign(number)]) for number in range(8)),
        )
    joined(threads)
    places = sorted(answer.seq for answer in answers[:8])
    assert places == sorted(position.size for position in seen)
    with world.record.database.read() as connection:
        for position in seen:
            note = notes.parse(position.checkpoint)
            assert (note.size, note.root) == (position.size, position.root)
            assert note.signed_by(world.record.recorder.keys.public_keys()) is not None
            assert merkle.root_of(ledger.leaves(connection, position.size)) == position.root


def test_runs_of_many_threads_start_check_and_end_as_one_by_one(world: RecordWorld) -> None:
    def whole(name: str) -> None:
        own = RecordWorld(world.record)
        for number in range(4):
            run = own.start(f"{name}{number}")
            world.record.recorder.complete(run, [], {})
            with pytest.raises(RunFailed, match="was closed as COMPLETE"):
                world.record.recorder.complete(run, [], {})

    threads, answers = started(*(lambda name=name: whole(name) for name in "abcdefgh"))
    joined(threads)
    assert answers == [None] * 8
    assert world.record.recorder.position() == BEGUN + 64
    assert open_runs(world.record.recorder) == []
    assert world.record.query(catalog_differences, world.record.ledger) == []
