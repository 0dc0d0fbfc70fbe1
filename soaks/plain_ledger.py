"""The ledger read by rules of its own: SQLite, SHA-256 and RFC 6962 from docs/formats/ledger.md, without a line of the product."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import zstandard

__all__ = ["PlainLedger", "read_ledger", "roots"]


@dataclass(frozen=True, slots=True)
class PlainLedger:
    """What a database file holds of the ledger.

    Attributes:
        events: id and exact bytes of each, in order.
        leaf_hashes: recomputed.
        size: as the stored head says.
        root: as the stored head says, hex.
        problems: what is wrong with it, one sentence each.
    """

    events: tuple[tuple[str, bytes], ...]
    leaf_hashes: tuple[bytes, ...]
    size: int
    root: str
    problems: tuple[str, ...]


def read_ledger(database: Path) -> PlainLedger:
    """Read a copy of the database as it lies there, its write-ahead log with it: looking must not tidy up what a crash left."""
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        copy = Path(folder) / "record.db"
        shutil.copyfile(database, copy)
        log = database.with_name(f"{database.name}-wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name(log.name))
        with closing(sqlite3.connect(copy)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ledger_head'").fetchone() == (0,):
                return PlainLedger((), (), 0, hashlib.sha256().hexdigest(), ())  # killed before the tables were made
            found = _rows(connection)
            head = connection.execute("SELECT size, root FROM ledger_head WHERE id = 1").fetchone()
            whole = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    return _judged(found, head, whole)


def _rows(connection: sqlite3.Connection) -> list[tuple[int, str, str, bytes]]:
    """Read every event; those of a batch lie together in a compressed block, each behind its length."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(ledger_event)")]
    block = "block" if "block" in columns else "NULL"
    rows = connection.execute(f"SELECT seq, event_id, recorded_at, CAST(body AS BLOB), {block} FROM ledger_event ORDER BY seq").fetchall()
    packed: dict[int, list[bytes]] = {}
    if block == "block":
        for first, size, data in connection.execute("SELECT first_seq, raw_size, CAST(data AS BLOB) FROM ledger_block"):
            packed[first] = list(_unpacked(zstandard.ZstdDecompressor().decompress(data, max_output_size=size)))
    return [(seq, identity, at, body if first is None else packed[first][seq - first]) for seq, identity, at, body, first in rows]


def _unpacked(content: bytes) -> Iterator[bytes]:
    while content:
        size = int.from_bytes(content[:4], "big")
        yield content[4 : 4 + size]
        content = content[4 + size :]


def _judged(rows: Iterable[tuple[int, str, str, bytes]], head: tuple[int, str], whole: list[str]) -> PlainLedger:
    problems = [] if whole == ["ok"] else [f"the database is damaged: {'; '.join(whole)}"]
    events: list[tuple[str, bytes]] = []
    hashes: list[bytes] = []
    latest = ""
    for seq, identity, recorded_at, body in rows:
        if seq != len(events):
            problems.append(f"the ledger has a hole before event {seq}")
        if hashlib.sha256(body).hexdigest() != identity:
            problems.append(f"event {seq} has other bytes than its id says")
        if recorded_at < latest:
            problems.append(f"event {seq} was recorded before the one before it")
        latest = recorded_at
        leaf = {"event_sha256": identity, "recorded_at": recorded_at, "v": 1}
        hashes.append(hashlib.sha256(b"\0" + json.dumps(leaf, separators=(",", ":")).encode()).digest())
        events.append((identity, body))
    size, root = head
    if size != len(events):
        problems.append(f"the head says {size} events, {len(events)} are there")
    found = roots(hashes)[-1].hex()
    if found != root:
        problems.append(f"the head's root {root[:12]} is not that of the events, {found[:12]}")
    return PlainLedger(tuple(events), tuple(hashes), size, root, tuple(problems))


def roots(leaf_hashes: Iterable[bytes]) -> list[bytes]:
    """Return the RFC 6962 root of every prefix, that of no leaves first."""
    found = [hashlib.sha256().digest()]
    subtrees: list[tuple[int, bytes]] = []  # complete ones from left to right, with their heights
    for leaf in leaf_hashes:
        height, node = 0, leaf
        while subtrees and subtrees[-1][0] == height:
            node = hashlib.sha256(b"\1" + subtrees.pop()[1] + node).digest()
            height += 1
        subtrees.append((height, node))
        root = subtrees[-1][1]
        for _, left in reversed(subtrees[:-1]):
            root = hashlib.sha256(b"\1" + left + root).digest()
        found.append(root)
    return found


def read_note(note: str) -> tuple[int, str]:
    """Return size and root (hex) of a checkpoint."""
    _, size, root, *_ = note.split("\n")
    return int(size), base64.b64decode(root).hex()
