"""The ledger keeps exact bytes under one root, appends a duplicate never, and can say where it was at any time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tracecore.workspace import Workspace
from tracecore_lineage.crypto import merkle
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.model import rfc3339

DATABASES = ("sqlite", "postgresql")


@pytest.fixture
def database(database_url: str | None, tmp_path: Path) -> Iterator[Database]:
    workspace = Workspace.create(tmp_path / "workspace")
    made = Database(workspace.catalog_url, workspace.locks)
    yield made
    made.close()


def append(database: Database, *bodies: bytes) -> list[ledger.Appended]:
    with database.write() as connection:
        return ledger.append(connection, bodies, lambda size, root: f"{size} {root.hex()}")


def test_an_event_keeps_its_bytes_its_id_and_its_leaf_hash(database: Database) -> None:
    body = b'{"spaces" :  "kept"}'
    (appended,) = append(database, body)
    assert appended == ledger.Appended(0, hashlib.sha256(body).hexdigest(), new=True)
    with database.read() as connection:
        leaf = ledger.read_event(connection, appended.event_id)
        assert leaf is not None
        assert leaf.body == body
        data = b'{"event_sha256":"%s","recorded_at":"%s","v":1}' % (appended.event_id.encode(), leaf.recorded_at.encode())
        assert leaf.leaf_hash == hashlib.sha256(b"\x00" + data).hexdigest() == ledger.leaf_hash(leaf.recorded_at, body).hex()
        assert ledger.head(connection).root.hex() == leaf.leaf_hash


def test_a_byte_identical_duplicate_appends_nothing(database: Database) -> None:
    first = append(database, b"a", b"b")
    again = append(database, b"b", b"c", b"a", b"c")
    assert [(place.seq, place.new) for place in again] == [(1, False), (2, True), (0, False), (2, False)]
    assert append(database, b"a")[0] == ledger.Appended(0, first[0].event_id, new=False)
    with database.read() as connection:
        assert ledger.head(connection).size == 3


def test_the_head_is_signed_over_what_it_holds_and_untouched_by_duplicates(database: Database) -> None:
    append(database, b"a", b"b")
    with database.read() as connection:
        head = ledger.head(connection)
    assert head.checkpoint == f"2 {head.root.hex()}"
    append(database, b"a")
    with database.read() as connection:
        assert ledger.head(connection) == head


def test_the_root_at_any_size_is_the_root_that_stood_there(database: Database) -> None:
    roots = [merkle.EMPTY_ROOT]
    for number in range(11):
        append(database, b"%d" % number)
        with database.read() as connection:
            roots.append(ledger.head(connection).root)
    with database.read() as connection:
        assert [merkle.root_of(ledger.leaves(connection, size)) for size in range(12)] == roots


def test_a_changed_event_changes_the_recomputed_root_and_no_stored_hash_hides_it(database: Database) -> None:
    append(database, *(b"%d" % number for number in range(5)))
    with database.write() as connection:
        connection.execute(text("UPDATE ledger_event SET body = :body WHERE seq = 2"), {"body": b"other"})
    with database.read() as connection:
        head = ledger.head(connection)
        assert merkle.root_of(ledger.leaves(connection, 2)) == merkle.root_of(ledger.leaves(connection, 5)[:2])
        assert merkle.root_of(ledger.leaves(connection, 5)) != head.root


def test_a_removed_event_is_a_hole(database: Database) -> None:
    append(database, *(b"%d" % number for number in range(5)))
    with database.write() as connection:
        connection.execute(text("DELETE FROM ledger_event WHERE seq = 1"))
    with database.read() as connection:
        assert [leaf.seq for leaf in ledger.read(connection)] == [0, 2, 3, 4]
        with pytest.raises(ValueError, match="Expected 5 events in the ledger, found 1 without a hole"):
            ledger.leaves(connection, 5)


def test_recorded_times_never_fall_even_when_the_clock_does(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(["2026-11-22T10:00:00.000000Z", "2026-11-22T09:00:00.000000Z", "2026-11-22T11:00:00.000000Z"])
    monkeypatch.setattr(rfc3339, "now", lambda: next(clock))
    for body in (b"a", b"b", b"c"):
        append(database, body)
    with database.read() as connection:
        assert [leaf.recorded_at[11:13] for leaf in ledger.read(connection)] == ["10", "10", "11"]


def test_a_recorded_time_names_the_prefix_recorded_by_then(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(["2026-11-22T10:00:00.000000Z", "2026-11-22T11:00:00.000000Z"])
    monkeypatch.setattr(rfc3339, "now", lambda: next(clock))
    append(database, b"a", b"b")
    append(database, b"c")
    with database.read() as connection:
        asked = ("09:59:59.999999", "10:00:00.000000", "10:30:00.000000", "12:00:00.000000")
        assert [ledger.position_at(connection, f"2026-11-22T{time}Z") for time in asked] == [0, 2, 2, 3]


def test_what_a_transaction_did_not_commit_was_never_there(database: Database) -> None:
    append(database, b"a")

    def unfinished() -> None:
        with database.write() as connection:
            ledger.append(connection, [b"b"], lambda _size, _root: "note")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        unfinished()
    with database.read() as connection:
        assert ledger.head(connection).size == 1
        assert [leaf.body for leaf in ledger.read(connection)] == [b"a"]


def test_reading_gives_any_range_in_order(database: Database) -> None:
    append(database, *(b"%d" % number for number in range(1203)))
    with database.read() as connection:
        assert [leaf.seq for leaf in ledger.read(connection)] == list(range(1203))
        assert [leaf.seq for leaf in ledger.read(connection, 498, 1002)] == list(range(498, 1002))
        assert list(ledger.read(connection, 5, 5)) == []
        assert [leaf.seq for leaf in ledger.read(connection, 1200, 10**9)] == [1200, 1201, 1202]
