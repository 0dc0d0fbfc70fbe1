"""Batches lie in compressed blocks, which no reader of the ledger notices, and whose every damage is named."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from typing import Any

import pytest
import zstandard
from fresh_record import BEGUN
from sqlalchemy import Connection, text

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog
from tracecore_lineage.crypto import merkle
from tracecore_lineage.ledger import blocks, ledger, outbox
from tracecore_lineage.ledger.blocks import Cut, DamagedBlock

DATABASES = ("sqlite", "postgresql")


def foreign(number: int, **members: Any) -> dict[str, Any]:
    return {
        "eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": f"0199c1f4-8f0e-7a31-9c55-{number:012x}"}, "job": {"namespace": "etl", "name": f"load{number}"}, **members,
    }  # fmt: skip


def scalar(world: RecordWorld, statement: str) -> Any:
    with world.record.database.read() as connection:
        return connection.execute(text(statement)).scalar_one()


def bodies(world: RecordWorld) -> list[bytes]:
    with world.record.database.read() as connection:
        return [leaf.body for leaf in ledger.read(connection)]


def change(world: RecordWorld, statement: str, **values: Any) -> None:
    with world.record.database.write() as connection:
        connection.execute(text(statement), values)


def failures(world: RecordWorld) -> list[tuple[str, str]]:
    return [(failure["ref"], failure["what"]) for failure in world.record.verify()["failures"]]


def test_a_batch_lies_in_blocks_and_a_small_append_as_it_came(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(3)])
    assert scalar(world, "SELECT count(*) FROM ledger_block") == 0
    world.record.ingest([foreign(number) for number in range(1203)])
    assert scalar(world, "SELECT count(*) FROM ledger_event WHERE body IS NULL") == 1200
    assert scalar(world, "SELECT count(*) FROM ledger_block") == 3
    assert scalar(world, "SELECT sum(length(data)) FROM ledger_block") * 5 < scalar(world, "SELECT sum(raw_size) FROM ledger_block")
    assert world.record.verify()["ok"]
    assert world.record.query(catalog_differences, world.record.ledger) == []


def test_what_is_read_is_what_was_appended_whichever_way_it_is_asked_for(world: RecordWorld) -> None:
    given = [os.urandom(number % 50) + b"%d" % number for number in range(1100)]
    with world.record.database.write() as connection:
        appended = ledger.append(connection, given, lambda _size, _root: "note")
    assert bodies(world)[BEGUN:] == given
    with world.record.database.read() as connection:
        assert [leaf.body for leaf in ledger.read(connection, BEGUN + 505, BEGUN + 530)] == given[505:530]
        assert [leaf.body for leaf in ledger.read_at(connection, [1099, 3, 511, 512, 513])] == [
            given[place - BEGUN] for place in (3, 511, 512, 513, 1099)
        ]
        for place in (0, 511, 512, 1099):
            leaf = ledger.read_event(connection, appended[place].event_id)
            assert leaf is not None
            assert leaf.body == given[place]
        leaves = ledger.leaves(connection, BEGUN + 1100)
        recorded, kept = zip(*((leaf.recorded_at, leaf.body) for leaf in ledger.read(connection)), strict=True)
        assert leaves == [ledger.leaf_hash(at, body) for at, body in zip(recorded, kept, strict=True)]
        assert merkle.root_of(ledger.leaves(connection, BEGUN + 1100)) == ledger.head(connection).root


def test_a_duplicate_of_an_event_in_a_block_appends_nothing(world: RecordWorld) -> None:
    events = [foreign(number) for number in range(50)]
    world.record.ingest(events)
    again = world.record.ingest([*events, foreign(50)])
    assert (again.recorded, again.known) == (1, 50)
    assert world.record.recorder.position() == BEGUN + 51


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ([10] * 15, [Cut(0, 15, block=False)]),
        ([10] * 16, [Cut(0, 16, block=True)]),
        ([10] * 600, [Cut(0, 512, block=True), Cut(512, 88, block=True)]),
        ([10] * 520, [Cut(0, 512, block=True), Cut(512, 8, block=False)]),
        ([200_000] * 20, [Cut(place, 5, block=False) for place in (0, 5, 10, 15)]),
        ([10] * 20 + [300_000] + [10] * 20, [Cut(0, 20, block=True), Cut(20, 1, block=False), Cut(21, 20, block=True)]),
        ([300_000, 300_000], [Cut(0, 1, block=False), Cut(1, 1, block=False)]),
        ([], []),
    ],
)
def test_blocks_are_bounded_in_events_and_bytes(sizes: Sequence[int], pieces: list[Cut]) -> None:
    assert blocks.cut([b"x" * size for size in sizes]) == pieces


def test_the_relay_delivers_events_out_of_blocks(world: RecordWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    world.record.ingest([foreign(number) for number in range(30)])
    sent: list[Any] = []

    class Transport:
        def emit(self, event: Any) -> None:
            sent.append(event)

    assert outbox.relay(world.record.database, Transport()).delivered == 30
    assert sent == [foreign(number) for number in range(30)]


def test_a_transaction_that_is_undone_leaves_no_block(world: RecordWorld) -> None:
    def work(connection: Connection) -> None:
        ledger.append(connection, [b"%d" % number for number in range(100)], lambda _size, _root: "note")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        world.record.recorder.commit(work)
    assert scalar(world, "SELECT count(*) FROM ledger_block") == 0


def test_every_flipped_bit_of_a_block_is_named(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(20)])
    data = bytes(scalar(world, "SELECT data FROM ledger_block"))
    for bit in range(0, len(data) * 8, 97):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        change(world, "UPDATE ledger_block SET data = :data", data=bytes(flipped))
        assert ("event/2", "bytes of block 2") in failures(world), f"bit {bit}"
    change(world, "UPDATE ledger_block SET data = :data", data=data)
    assert failures(world) == []


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE ledger_block SET first_seq = 3", ("event/2", "block 2")),
        ("UPDATE ledger_block SET events = 19", ("event/2", "block 2")),
        ("UPDATE ledger_block SET codec = 'zste'", ("event/2", "block 2")),
        ("UPDATE ledger_block SET raw_size = raw_size + 1", ("event/2", "block 2")),
        (
            "UPDATE ledger_block SET digest = replace(replace(digest, '1', 'x'), '2', 'y')",
            ("event/2", "bytes of block 2"),
        ),
        ("DELETE FROM ledger_block", ("event/2", "block 2")),
        ("UPDATE ledger_event SET block = 3 WHERE seq = 7", ("event/7", "bytes of the event")),
        ("UPDATE ledger_event SET block = NULL WHERE seq = 7", ("event/7", "bytes of the event")),
        ("INSERT INTO ledger_block SELECT 40, events, codec, raw_size, digest, data FROM ledger_block", ("event/40", "events of block 40")),
    ],
)
def test_every_other_damage_to_a_block_is_named(world: RecordWorld, damage: str, named: tuple[str, str]) -> None:
    world.record.ingest([foreign(number) for number in range(20)])
    change(world, damage)
    assert named in failures(world)


def test_an_event_that_stands_by_itself_and_in_a_block_too_is_named(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(20)])
    change(world, "UPDATE ledger_event SET body = :body WHERE seq = 3", body=bodies(world)[3])
    assert ("event/3", "bytes of the event") in failures(world)


def test_a_bomb_in_place_of_a_block_is_named_and_eats_no_memory(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(20)])
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join([*(compressor.compress(bytes(1 << 20)) for _ in range(2048)), compressor.flush()])
    assert len(bomb) < 1 << 20
    change(world, "UPDATE ledger_block SET data = :data, raw_size = :size", data=bomb, size=2**31 - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = failures(world)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"
    assert ("event/2", "block 2") in found
    assert ("event/21", "bytes of the event") in found
    with pytest.raises(Exception, match="run 'tracecore verify'"):
        rebuild_catalog(world.record.database, world.record.ledger)


def test_a_frame_that_claims_gigabytes_is_refused_before_they_are_asked_for() -> None:
    claimed = bytes.fromhex("28b52ffd") + bytes([0b1110_0000]) + (1 << 40).to_bytes(8, "little") + b"\x01\x00\x00"
    with pytest.raises(DamagedBlock, match="Zstandard frame of at most"):
        blocks.unpack("zstd", claimed, 10, 1)


def test_the_content_of_a_block_is_what_the_page_says() -> None:
    data, raw_size = blocks.pack([b"one", b"", b"three"])
    content = zstandard.ZstdDecompressor().decompress(data)
    assert content == b"\x00\x00\x00\x03one\x00\x00\x00\x00\x00\x00\x00\x05three"
    assert raw_size == len(content)
    assert blocks.unpack("zstd", data, raw_size, 3) == [b"one", b"", b"three"]
    for wrong in ((raw_size, 2), (raw_size - 1, 3)):
        with pytest.raises(DamagedBlock):
            blocks.unpack("zstd", data, *wrong)
