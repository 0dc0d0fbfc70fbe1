"""Blocks: the bytes of many events appended at once, stored as one compressed frame. Ids, leaves and roots do not depend on them.

A block's content is the bytes of each event preceded by their length (4 bytes, big-endian), in ledger order, as one Zstandard frame. Reading is
bounded and trusts nothing; the events of a damaged block have empty bytes, which `verify` reports by event id.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, cast, func, insert, select

from tracecore_lineage.ledger.sql_tables import BLOCKS, EVENTS, select_in

__all__ = ["BlockReader", "Cut", "DamagedBlock", "cut", "pack", "problems", "unpack", "write"]

CODEC = "zstd"
LEVEL = 3
FEWEST_EVENTS = 16
"""Fewer events are stored individually, since compressing one or two saves nothing."""
MOST_EVENTS = 512
MOST_BYTES = 1 << 20
LARGEST_EVENT = 1 << 18
"""Larger events are stored individually, so that reading a small one never decompresses them."""
READ_LIMIT = 1 << 23
"""Larger than any valid block's content; a larger frame is damaged."""
_CACHED = 4
_IN = 500


class DamagedBlock(ValueError):
    """A block whose bytes were changed; the message states what was expected."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A slice of a batch: `count` bodies from index `start`, stored as one block or individually."""

    start: int
    count: int
    block: bool


def cut(bodies: Sequence[bytes]) -> list[Cut]:
    """Return the slices of one append's events, in order: blocks of bounded size, and events stored without a block (large ones, or few in a row)."""
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
    """Return the slice of `count` events from index `start`, to be stored as a block if it has at least `FEWEST_EVENTS` events."""
    return Cut(start, count, block=count >= FEWEST_EVENTS)


def pack(bodies: Iterable[bytes]) -> tuple[bytes, int]:
    """Return (a block of events as a Zstandard frame, the block's uncompressed size in bytes)."""
    import zstandard  # imported here, since queries without blocks do not need it

    content = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(content), len(content)


def unpack(codec: str, data: bytes, raw_size: int, events: int) -> list[bytes]:
    """Return the events' bytes from a block's frame, using bounded memory. Raises DamagedBlock if it differs from codec, size or count."""
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
    """Insert events as one compressed block, the first event at position `first_seq`, in the caller's transaction."""
    data, raw_size = pack(bodies)
    values = {"first_seq": first_seq, "events": len(bodies), "codec": CODEC, "raw_size": raw_size, "digest": _digest(data), "data": data}
    connection.execute(insert(BLOCKS), values)


class BlockReader:
    """Reads events from blocks, with a small cache. `connection` must be in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()

    def load(self, firsts: Iterable[int]) -> None:
        """Load the blocks that start at the positions `firsts` into the cache, in one query; damaged or missing ones are cached as empty."""
        wanted = sorted(set(firsts) - self._blocks.keys())
        for row in select_in(self._connection, _BLOCK, BLOCKS.c.first_seq, wanted):
            self._blocks[row.first_seq] = _events(row)
        for first in wanted:
            self._blocks.setdefault(first, [])

    def body(self, first: int, seq: int) -> bytes:
        """Return the bytes of the event at position `seq` in the block that starts at `first`; empty if the block is damaged or missing."""
        if first not in self._blocks:
            self.load([first])
        self._blocks.move_to_end(first)
        bodies = self._blocks[first]
        return bodies[seq - first] if 0 <= seq - first < len(bodies) else b""

    def forget(self) -> None:
        """Drop all cached blocks except the four most recently used."""
        while len(self._blocks) > _CACHED:
            self._blocks.popitem(last=False)


# Cast as in the ledger: a value changed to text is still read as bytes.
_BLOCK = select(
    BLOCKS.c.first_seq, BLOCKS.c.events, BLOCKS.c.codec, BLOCKS.c.raw_size, BLOCKS.c.digest, cast(BLOCKS.c.data, LargeBinary).label("data")
)


def _events(row: Row[Any]) -> list[bytes]:
    """Return the bytes of each event in a block's row; empty if the block is damaged."""
    try:
        return unpack(row.codec, bytes(row.data), row.raw_size, row.events)
    except DamagedBlock:
        return []


def problems(connection: Connection) -> Iterator[tuple[int, str, str, str]]:
    """Yield (first position, what was checked, expected, found) for each block that is damaged, missing or not referenced by its events.

    A block's stored digest proves nothing, but it reveals bit flips that decompression does not.
    """
    counted = select(EVENTS.c.block, func.count(), func.min(EVENTS.c.seq)).where(EVENTS.c.block.is_not(None)).group_by(EVENTS.c.block)
    pointing = {first: (number, lowest) for first, number, lowest in connection.execute(counted)}
    place = None
    while True:
        query = _BLOCK.order_by(BLOCKS.c.first_seq).limit(_IN // 10)
        rows = connection.execute(query if place is None else query.where(BLOCKS.c.first_seq > place)).all()
        if not rows:
            break
        for row in rows:
            place = row.first_seq
            yield from _block_problems(row, pointing.pop(place, (0, place)))
    for first, (number, lowest) in sorted(pointing.items()):
        yield lowest, f"block {first}", f"a block with the bytes of {number} events", "none"


def _block_problems(row: Row[Any], pointing: tuple[int, int]) -> Iterator[tuple[int, str, str, str]]:
    """Yield the problems of one block as in `problems`; `pointing` is (number, first position) of the events whose rows name the block."""
    first, data = row.first_seq, bytes(row.data)
    if _digest(data) != row.digest:
        yield first, f"bytes of block {first}", row.digest, _digest(data)
    try:
        unpack(row.codec, data, row.raw_size, row.events)
    except DamagedBlock as error:
        yield first, f"block {first}", "a block that can be read", str(error)
    if pointing != (row.events, first):
        yield first, f"events of block {first}", f"{row.events} from position {first} on", f"{pointing[0]} from position {pointing[1]} on"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
