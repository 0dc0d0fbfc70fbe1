"""The ledger: an append-only sequence of events as exact bytes, under one RFC 6962 Merkle root.

An event's id is the SHA-256 of its bytes. Each event is one leaf, whose data is the canonical JSON of
`{"v": 1, "recorded_at": …, "event_sha256": …}`. A byte-identical duplicate appends nothing. `recorded_at` never decreases, so that a recorded time
identifies a prefix.

All functions work in the caller's transaction; `append` needs the write lock (`Database.write`). Batches are stored as compressed blocks (`blocks`),
which is invisible outside this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, cast, func, insert, select, update

from tracecore.errors import UsageError
from tracecore_lineage.crypto import merkle
from tracecore_lineage.ledger import blocks
from tracecore_lineage.ledger.sql_tables import EVENTS, HEAD, select_in
from tracecore_lineage.model import rfc3339
from tracecore_schemas.canonical import jcs

__all__ = [
    "Appended",
    "Head",
    "Leaf",
    "append",
    "event_id",
    "head",
    "leaf_data",
    "leaf_hash",
    "leaves",
    "miscounted",
    "places",
    "position_at",
    "read",
    "read_at",
    "read_event",
    "sign_head",
]

# Cast, since an edit in SQLite can turn the bytes into text: `verify` then reports that they differ.
_LEAF = (
    EVENTS.c.seq, EVENTS.c.event_id, EVENTS.c.recorded_at, EVENTS.c.leaf_hash, cast(EVENTS.c.body, LargeBinary).label("body"), EVENTS.c.block
)  # fmt: skip
_CHUNK = 500

Sign = Callable[[int, bytes], str]
"""Returns the signed note over a tree's size and root."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One event as stored; `leaf_hash` is the stored hex value, which must be compared, never trusted."""

    seq: int
    event_id: str
    recorded_at: str
    leaf_hash: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger's head: number of leaves, root, complete subtrees (see `merkle.Frontier`), and the signed note (empty before the first event)."""

    size: int
    root: bytes
    frontier: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Appended:
    """Position of an event; `new` is False for a byte-identical duplicate, whose position is that of the original."""

    seq: int
    event_id: str
    new: bool


def event_id(body: bytes) -> str:
    """Return an event's id: the SHA-256 of its exact bytes as 64 hex digits."""
    return hashlib.sha256(body).hexdigest()


def leaf_data(recorded_at: str, event_sha256: str) -> bytes:
    """Return the data of which a leaf of the Merkle tree is the hash: canonical JSON of `v` (1), `recorded_at` and `event_sha256`."""
    return jcs({"v": 1, "recorded_at": recorded_at, "event_sha256": event_sha256})


def leaf_hash(recorded_at: str, body: bytes) -> bytes:
    """Return the Merkle leaf hash of an event from its recorded time and bytes."""
    return merkle.leaf_hash(leaf_data(recorded_at, event_id(body)))


def miscounted(connection: Connection) -> str | None:
    """Return a text with the number of events by the ledger's head and the number of stored events, if they differ or both are 0; else None."""
    size, found = head(connection).size, connection.execute(select(func.count()).select_from(EVENTS)).scalar_one()
    return None if found == size != 0 else f"The ledger's head says {size} events and {found} are there"


def head(connection: Connection, *, lock: bool = False) -> Head:
    """Return the ledger's head (size, root, checkpoint); with `lock`, other writers are blocked until the transaction ends (SQLite does so anyway).

    Raises UsageError if the head's row is missing or damaged.
    """
    query = select(HEAD.c.size, HEAD.c.root, HEAD.c.frontier, HEAD.c.checkpoint).where(HEAD.c.id == 1)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UsageError("The ledger's head is damaged (its row is gone): 'tracecore verify' says what else is.")
    try:
        return Head(row.size, bytes.fromhex(row.root), tuple(bytes.fromhex(subtree) for subtree in json.loads(row.frontier)), row.checkpoint)
    except (ValueError, TypeError) as error:
        raise UsageError(f"The ledger's head is damaged ({error}): 'tracecore verify' says what else is.") from None


def append(connection: Connection, bodies: Sequence[bytes], sign: Sign | None) -> list[Appended]:
    """Append the events (exact bytes) that the ledger lacks; return, for each body, its position and whether it is new. Durable after commit.

    `sign` signs the ledger's new head; None leaves it unsigned until `sign_head` at the end of the transaction.
    """
    before = head(connection, lock=True)
    known = places(connection, [event_id(body) for body in bodies])
    frontier = merkle.Frontier(before.size, before.frontier)
    last = connection.execute(select(EVENTS.c.recorded_at).where(EVENTS.c.seq == before.size - 1)).scalar_one_or_none()
    recorded_at = max(rfc3339.now(), last or "")
    answer: list[Appended] = []
    rows: list[dict[str, object]] = []
    new: list[bytes] = []
    for body in bodies:
        identity = event_id(body)
        if identity in known:
            answer.append(Appended(known[identity], identity, new=False))
            continue
        hashed = merkle.leaf_hash(leaf_data(recorded_at, identity))
        known[identity] = frontier.size
        answer.append(Appended(frontier.size, identity, new=True))
        rows.append({"seq": frontier.size, "event_id": identity, "recorded_at": recorded_at, "leaf_hash": hashed.hex(), "body": body, "block": None})
        new.append(body)
        frontier.append(hashed)
    if rows:
        _keep(connection, before.size, rows, new)
        root = frontier.root()
        stored = json.dumps([subtree.hex() for subtree in frontier.hashes])
        note = "" if sign is None else sign(frontier.size, root)
        connection.execute(update(HEAD).where(HEAD.c.id == 1).values(size=frontier.size, root=root.hex(), frontier=stored, checkpoint=note))
    return answer


def _keep(connection: Connection, first: int, rows: list[dict[str, object]], bodies: Sequence[bytes]) -> None:
    """Insert the rows of new events from position `first` on; the bytes of many events at once are stored in compressed blocks."""
    for piece in blocks.cut(bodies):
        if piece.block:
            blocks.write(connection, first + piece.start, bodies[piece.start : piece.start + piece.count])
            for row in rows[piece.start : piece.start + piece.count]:
                row.update(body=None, block=first + piece.start)
    connection.execute(insert(EVENTS), rows)


def sign_head(connection: Connection, sign: Sign) -> None:
    """Sign the ledger's head if appends in this transaction left it unsigned; call it before the transaction commits."""
    found = head(connection, lock=True)
    if found.size and not found.checkpoint:
        connection.execute(update(HEAD).where(HEAD.c.id == 1).values(checkpoint=sign(found.size, found.root)))


def places(connection: Connection, identities: Iterable[str]) -> dict[str, int]:
    """Return the positions of events in the ledger by event id; ids that are not in the ledger are left out."""
    query = select(EVENTS.c.event_id, EVENTS.c.seq)
    return {row.event_id: row.seq for row in select_in(connection, query, EVENTS.c.event_id, identities)}


def read(connection: Connection, start: int = 0, stop: int | None = None) -> Iterator[Leaf]:
    """Yield the leaves (recorded events) at `start` <= position < `stop` (the end if None), in order, in chunks to bound memory."""
    place = start
    reader = blocks.BlockReader(connection)
    while stop is None or place < stop:
        upper = place + _CHUNK if stop is None else min(place + _CHUNK, stop)
        query = select(*_LEAF).where(EVENTS.c.seq >= place, EVENTS.c.seq < upper).order_by(EVENTS.c.seq)
        rows = connection.execute(query).all()
        reader.load(row.block for row in rows if row.block is not None)
        for row in rows:
            yield _leaf(row, reader)
        reader.forget()
        if not rows and connection.execute(select(EVENTS.c.seq).where(EVENTS.c.seq >= upper).limit(1)).first() is None:
            return
        place = upper


def read_at(connection: Connection, positions: Sequence[int]) -> Iterator[Leaf]:
    """Yield the leaves (recorded events) at these positions, in ascending order; positions without an event are left out."""
    reader = blocks.BlockReader(connection)
    wanted = sorted(positions)
    for start in range(0, len(wanted), _CHUNK):
        query = select(*_LEAF).where(EVENTS.c.seq.in_(wanted[start : start + _CHUNK])).order_by(EVENTS.c.seq)
        for row in connection.execute(query).all():
            yield _leaf(row, reader)
            reader.forget()


def read_event(connection: Connection, identity: str) -> Leaf | None:
    """Return the leaf (recorded event) with an event id; None if the ledger does not have it."""
    row = connection.execute(select(*_LEAF).where(EVENTS.c.event_id == identity)).one_or_none()
    return None if row is None else _leaf(row, blocks.BlockReader(connection))


def _leaf(row: Row[Any], reader: blocks.BlockReader) -> Leaf:
    """Return the leaf (recorded event) of a row; its bytes are empty if the row has both bytes and a block, or neither, and so was changed."""
    alone, block = row.body, row.block
    body = b"" if (alone is None) == (block is None) else bytes(alone) if block is None else reader.body(block, row.seq)
    return Leaf(row.seq, row.event_id, row.recorded_at, row.leaf_hash, body)


def leaves(connection: Connection, size: int) -> list[bytes]:
    """Return the leaf hashes of the first `size` events, recomputed from their bytes. Raises ValueError if an event is missing."""
    hashes: list[bytes] = []
    for leaf in read(connection, 0, size):
        if leaf.seq != len(hashes):
            break
        hashes.append(leaf_hash(leaf.recorded_at, leaf.body))
    if len(hashes) != size:
        raise ValueError(f"Expected {size} events in the ledger, found {len(hashes)} without a hole.")
    return hashes


def position_at(connection: Connection, recorded_at: str) -> int:
    """Return the number of events recorded at or before the time `recorded_at` (RFC 3339 text)."""
    query = select(EVENTS.c.seq).where(EVENTS.c.recorded_at <= recorded_at).order_by(EVENTS.c.seq.desc()).limit(1)
    last = connection.execute(query).scalar_one_or_none()
    return 0 if last is None else last + 1
