"""Everything in a workspace of which one bit can be flipped, in classes: which bytes, which table's column, and what `verify` has to name of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tracecore.running.dependencies import KIND as SOURCE
from tracecore.store import open_store
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts, stored_sources

__all__ = ["NO_RECORD", "Flip", "Target", "checkpoint_bits", "targets"]

NO_RECORD = frozenset({"outbox_item", "alembic_version"})
"""Tables that are no part of the record: what waits for delivery, and which schema the tables have."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One flipped bit.

    Attributes:
        named: which, in words.
        refs: `verify` has to name one of these, or say what lies at a place...
        words: ...whose failure's text holds this.
        flipped: flips it, and flips it back when left.
    """

    named: str
    refs: frozenset[str]
    words: str
    flipped: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A class of things to flip: its name, and how one of them is chosen."""

    name: str
    choose: Callable[[Random], Flip]


def targets(root: Path) -> list[Target]:
    """Return every class there is in a workspace, in an order that is the same each time."""
    return [*_store_targets(root), *_table_targets(root / "record.db"), _envelopes(root / "record.db"), *_own_files(root)]


# --- bytes of files


def _bit_of(path: Path, place: int, bit: int) -> Callable[[], Any]:
    @contextmanager
    def flipped() -> Iterator[None]:
        with path.open("r+b") as file:
            file.seek(place)
            [before] = file.read(1)
            _put(file, place, before ^ (1 << bit))
            try:
                yield
            finally:
                _put(file, place, before)

    return flipped


def _put(file: Any, place: int, byte: int) -> None:
    file.seek(place)
    file.write(bytes([byte]))
    file.flush()


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    shown: str
    refs: frozenset[str]
    start: int = 0
    """Where the bytes that may be flipped begin; negative counts from the end."""


def _in_files(name: str, files: Sequence[_File]) -> Target:
    def choose(random: Random) -> Flip:
        file = random.choice(files)
        size = file.path.stat().st_size
        place, bit = random.randrange(file.start % size if file.start else 0, size), random.randrange(8)
        return Flip(f"bit {bit} of byte {place} of {file.shown}", file.refs, file.shown, _bit_of(file.path, place, bit))

    return Target(name, choose)


def _store_targets(root: Path) -> list[Target]:
    """Stored bytes by what they are; each file with the versions that depend on it."""
    workspace = Workspace.open(root)
    store = open_store(workspace)
    refs: dict[Path, set[str]] = {}
    shown: dict[Path, str] = {}
    with Record.open(root) as record, record.database.read() as connection:
        for artifact in (*stored_artifacts(connection), *stored_sources(connection)):
            for where in store.names(artifact):
                path = store.fetched(artifact, where)
                refs.setdefault(path, set()).add(artifact.ref)
                shown[path] = where
    classes: dict[str, list[_File]] = {}
    for path in sorted(refs):
        if not path.stat().st_size:
            continue
        of_runs = all(ref.startswith(f"{SOURCE}/") for ref in refs[path])
        classes.setdefault("source file" if of_runs else _class_of(shown[path]), []).append(_File(path, shown[path], frozenset(refs[path])))
    footers = [_File(each.path, each.shown, each.refs, -_footer(each.path)) for each in classes["parquet data"]]
    return [*(_in_files(name, files) for name, files in sorted(classes.items())), _in_files("parquet footer", footers)]


def _class_of(where: str) -> str:
    if "/_delta_log/" in where:
        return "delta log"
    if where.endswith(".parquet"):
        return "parquet data"
    if where.endswith(".manifest.json"):
        return "directory manifest"
    return "directory" if where.startswith("trees/") else "blob"


def _footer(path: Path) -> int:
    """Return the size of a Parquet file's footer: metadata, their length in 4 bytes, and 4 bytes of magic."""
    data = path.read_bytes()
    return int.from_bytes(data[-8:-4], "little") + 8


def _own_files(root: Path) -> list[Target]:
    def files(pattern: str) -> list[_File]:
        return [_File(path, path.relative_to(root).as_posix(), frozenset()) for path in sorted(root.glob(pattern))]

    return [
        _in_files("public key", files("keys/*.pub")),
        _in_files("private key", files("keys/*.pem")),
        _in_files("active key", files("keys/active")),
        _in_files("workspace file", files("workspace.json")),
    ]


def checkpoint_bits(path: Path) -> list[Flip]:
    """Return every bit of an exported checkpoint."""
    return [
        Flip(f"bit {bit} of byte {place} of the checkpoint", frozenset({"checkpoint"}), path.name, _bit_of(path, place, bit))
        for place in range(path.stat().st_size)
        for bit in range(8)
    ]


# --- cells of tables


def _table_targets(database: Path) -> list[Target]:
    found: list[Target] = []
    with closing(sqlite3.connect(database)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            if table in NO_RECORD or table.startswith("sqlite_"):
                continue
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            keys = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
            for _, column, *_ in columns:
                if connection.execute(f"SELECT 1 FROM {table} WHERE {column} IS NOT NULL AND {column} != '' LIMIT 1").fetchone():
                    found.append(_in_cells(database, table, column, keys))
    return found


def _in_cells(database: Path, table: str, column: str, keys: Sequence[str]) -> Target:
    with closing(sqlite3.connect(database)) as connection:
        order = ", ".join(keys)
        rows = connection.execute(f"SELECT {order} FROM {table} WHERE {column} IS NOT NULL AND {column} != '' ORDER BY {order}").fetchall()

    def choose(random: Random) -> Flip:
        key = random.choice(rows)
        where = dict(zip(keys, key, strict=True))
        return _cell(database, table, column, where, random)

    return Target(f"{table}.{column}", choose)


def _cell(database: Path, table: str, column: str, where: Mapping[str, Any], random: Random, within: tuple[int, int] | None = None) -> Flip:
    with closing(sqlite3.connect(database)) as connection:
        value = connection.execute(f"SELECT {column} FROM {table} WHERE {_and(where)}", tuple(where.values())).fetchone()[0]
    bits = 16 if isinstance(value, int) else 8 * len(_bytes(value))
    low, high = (0, bits) if within is None else (8 * within[0], 8 * within[1])
    bit = random.randrange(low, high)
    said = " ".join(str(part) for part in where.values())
    named = {"ledger_event": f"event/{said}", "ledger_head": "ledger/head"}.get(table, "")
    words = {"ledger_block": f"block {said}", "person": "name of a person"}.get(table, f"{table} {said}")
    return Flip(
        f"bit {bit} of {table}.{column} of {said}", frozenset({named} - {""}), words, lambda: _cell_flipped(database, table, column, where, bit, bits)
    )


@contextmanager
def _cell_flipped(database: Path, table: str, column: str, where: Mapping[str, Any], bit: int, bits: int) -> Iterator[None]:
    # Flipped behind the record's back: nothing of the product writes here.
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        value = connection.execute(f"SELECT {column} FROM {table} WHERE {_and(where)}", tuple(where.values())).fetchone()[0]
        for step in range(bits):  # a key that another row has already can't be written: the next bit is taken
            after = _flipped(value, (bit + step) % bits)
            try:
                _update(connection, table, column, where, value, after)
                break
            except sqlite3.IntegrityError:
                continue
        else:
            raise AssertionError(f"No bit of {table}.{column} can be flipped.")
        try:
            yield
        finally:
            moved = {**where, **({column: after} if column in where else {})}
            _update(connection, table, column, moved, after, value)


def _update(connection: sqlite3.Connection, table: str, column: str, where: Mapping[str, Any], before: Any, after: Any) -> None:
    # A text that is not UTF-8 any more can only be bound as bytes.
    text = isinstance(before, (str, _NoText))
    given = "CAST(? AS TEXT)" if text else "?"
    bound = [after.data if isinstance(after, _NoText) else after.encode() if isinstance(after, str) else after]
    done = connection.execute(f"UPDATE {table} SET {column} = {given} WHERE {_and(where)}", [*bound, *(_bound(each) for each in where.values())])
    if done.rowcount != 1:
        raise AssertionError(f"Expected to change one row of {table}, changed {done.rowcount}.")


@dataclass(frozen=True, slots=True)
class _NoText:
    """A text whose bytes are not UTF-8."""

    data: bytes


def _and(where: Mapping[str, Any]) -> str:
    return " AND ".join(f"{name} = {'CAST(? AS TEXT)' if isinstance(value, (str, _NoText)) else '?'}" for name, value in where.items())


def _bound(value: Any) -> Any:
    return value.data if isinstance(value, _NoText) else value


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _flipped(value: Any, bit: int) -> Any:
    if isinstance(value, int):
        return value ^ (1 << bit)
    data = bytearray(_bytes(value))
    data[bit // 8] ^= 1 << (bit % 8)
    if isinstance(value, bytes):
        return bytes(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _NoText(bytes(data))


def _envelopes(database: Path) -> Target:
    """The envelopes of sealed builds where the ledger holds them: inside the bytes of the release runs' events."""
    marker = b'"envelope":'
    places: list[tuple[int, int, int]] = []
    with closing(sqlite3.connect(database)) as connection:
        for seq, body in connection.execute("SELECT seq, body FROM ledger_event WHERE body IS NOT NULL ORDER BY seq").fetchall():
            start = body.find(marker)
            if start >= 0:
                places.append((seq, start, body.index(b"]}", start)))

    def choose(random: Random) -> Flip:
        seq, start, stop = random.choice(places)
        return _cell(database, "ledger_event", "body", {"seq": seq}, random, (start, stop))

    return Target("envelope", choose)
