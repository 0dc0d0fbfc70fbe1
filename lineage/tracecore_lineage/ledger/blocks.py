"""Blocks: the bytes of many events that were appended at once, kept as one compressed piece. Storage only: ids, leaves and roots don't know of it.

A block's content is each event's bytes behind their length (4 bytes, big-endian), in the order of their positions, as one Zstandard frame. What is
read back is believed no more than any stored bytes: reading is bounded, so that no frame can grow beyond what a writer makes, and an event whose
block is damaged has no bytes, which `verify` names by the event's id.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, LargeBinary, RowMapping, cast, func, insert, select

from tracecore_lineage.ledger.sql_tables import BLOCKS, EVENTS

__all__ = ["BlockReader", "Cut", "DamagedBlock", "cut", "pack", "problems", "unpack", "write"]

CODEC = "zstd"
LEVEL = 3
FEWEST_EVENTS = 16
"""An append of fewer new events keeps each as it is: a frame of one or two events saves nothing."""
MOST_EVENTS = 512
MOST_BYTES = 1 << 20
LARGEST_EVENT = 1 << 18
"""A larger event stays by itself, so that no small one needs it read."""
READ_LIMIT = 1 << 23
"""More than any block holds: a frame that claims or gives more is damaged."""
_CACHED = 4
_IN = 500


class DamagedBlock(ValueError):
    """A block whose bytes are no longer what was written; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a batch: `count` bodies from `start` on, as one block or each by itself."""

    start: int
    count: int
    block: bool


def cut(bodies: Sequence[bytes]) -> list[Cut]:
    """Return how the new events of one append are kept: in blocks of bounded size, large ones and small rests each by itself."""
    pieces: list[Cut] = []
    start = size = 0
    for place, body in enumerate(bodies):
        if place > start and (len(body) > LARGEST_EVENT or size + len(body) > MOST_BYTES or place - start == MOST_EVENTS):
            pieces.append(_piece(start, place - start))
            start, size = place, 0
        if len(body) > LARGEST_EVENT:
            pieces.append(Cut(place, 1, block=False))
            start = place + 1
        else:
            size += len(body)
    if start < len(bodies):
        pieces.append(_piece(start, len(bodies) - start))
    return pieces


def _piece(start: int, count: int) -> Cut:
    return Cut(start, count, block=count >= FEWEST_EVENTS)


def pack(bodies: Iterable[bytes]) -> tuple[bytes, int]:
    """Return a block's frame, and the size of its content."""
    import zstandard  # here, as questions to a record without batches have no use for it

    content = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(content), len(content)


def unpack(codec: str, data: bytes, raw_size: int, events: int) -> list[bytes]:
    """Return the events of a block, in memory that is bounded whatever the frame says.

    Raises:
        DamagedBlock: it is not what a writer makes.
    """
    import zstandard

    if codec != CODEC:
        raise DamagedBlock(f"expected a block compressed with {CODEC}, found {codec!r}")
    try:
        with zstandard.ZstdDecompressor(max_window_size=READ_LIMIT).stream_reader(data) as reader:
            content = reader.read(READ_LIMIT + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise DamagedBlock(f"expected a Zstandard frame of at most {READ_LIMIT:,} bytes ({error})") from None
    if len(content) != raw_size or len(content) > READ_LIMIT:
        raise DamagedBlock(f"expected {raw_size:,} bytes of events, found {len(content) if len(content) <= READ_LIMIT else 'more'}")
    bodies: list[bytes] = []
    place = 0
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        bodies.append(content[place + 4 : place + 4 + length])
        place += 4 + length
    if place != len(content) or len(bodies) != events:
        raise DamagedBlock(f"expected {events} whole events, found {len(bodies)} up to byte {place:,} of {len(content):,}")
    return bodies


def write(connection: Connection, first_seq: int, bodies: Sequence[bytes]) -> None:
    """Keep the events from a position on as one block; the caller's transaction makes it durable with its events."""
    data, raw_size = pack(bodies)
    values = {"first_seq": first_seq, "events": len(bodies), "codec": CODEC, "raw_size": raw_size, "digest": _digest(data), "data": data}
    connection.execute(insert(BLOCKS), values)


class BlockReader:
    """Reads events out of blocks, remembering the few it read last.

    Args:
        connection: in a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()

    def load(self, firsts: Iterable[int]) -> None:
        """Get several blocks ready with one question."""
        wanted = sorted(set(firsts) - self._blocks.keys())
        for start in range(0, len(wanted), _IN):
            for row in self._connection.execute(_BLOCK.where(BLOCKS.c.first_seq.in_(wanted[start : start + _IN]))).mappings():
                self._blocks[row["first_seq"]] = _events(row)
        for first in wanted:
            self._blocks.setdefault(first, [])

    def body(self, first: int, seq: int) -> bytes:
        """Return the bytes of the event at a position; none where its block is damaged or gone."""
        if first not in self._blocks:
            self.load([first])
        self._blocks.move_to_end(first)
        bodies = self._blocks[first]
        return bodies[seq - first] if 0 <= seq - first < len(bodies) else b""

    def forget(self) -> None:
        """Let go of all but the blocks read last."""
        while len(self._blocks) > _CACHED:
            self._blocks.popitem(last=False)


# As in the ledger: whatever an edit left there is read as bytes.
_BLOCK = select(
    BLOCKS.c.first_seq, BLOCKS.c.events, BLOCKS.c.codec, BLOCKS.c.raw_size, BLOCKS.c.digest, cast(BLOCKS.c.data, LargeBinary).label("data")
)


def _events(row: RowMapping) -> list[bytes]:
    try:
        return unpack(row["codec"], bytes(row["data"]), row["raw_size"], row["events"])
    except DamagedBlock:
        return []


def problems(connection: Connection) -> Iterator[tuple[int, str, str, str]]:
    """Yield what is wrong with the blocks themselves, whatever their events say: (first position, what, expected, found).

    A block's stored digest proves nothing; it makes a flipped bit visible that decompressing would not show.
    """
    counted = select(EVENTS.c.block, func.count(), func.min(EVENTS.c.seq)).where(EVENTS.c.block.is_not(None)).group_by(EVENTS.c.block)
    pointing = {first: (number, lowest) for first, number, lowest in connection.execute(counted)}
    place = None
    while True:
        query = _BLOCK.order_by(BLOCKS.c.first_seq).limit(_IN // 10)
        rows = connection.execute(query if place is None else query.where(BLOCKS.c.first_seq > place)).mappings().all()
        if not rows:
            break
        for row in rows:
            place = row["first_seq"]
            yield from _judged(row, pointing.pop(place, (0, place)))
    for first, (number, lowest) in sorted(pointing.items()):
        yield lowest, f"block {first}", f"a block with the bytes of {number} events", "none"


def _judged(row: RowMapping, pointing: tuple[int, int]) -> Iterator[tuple[int, str, str, str]]:
    first, data = row["first_seq"], bytes(row["data"])
    if _digest(data) != row["digest"]:
        yield first, f"bytes of block {first}", row["digest"], _digest(data)
    try:
        unpack(row["codec"], data, row["raw_size"], row["events"])
    except DamagedBlock as error:
        yield first, f"block {first}", "a block that can be read", str(error)
    if pointing != (row["events"], first):
        yield first, f"events of block {first}", f"{row['events']} from position {first} on", f"{pointing[0]} from position {pointing[1]} on"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
