"""Write catalog rows, rebuild them from the ledger, compare them with it, and open in-memory catalogs of part of a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, create_engine, delete, insert, select
from sqlmodel import SQLModel

from tracecore.errors import NegativeVerdict
from tracecore_lineage.catalog.delegation import Import, delegations_of, imports_in, read_import
from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.catalog.pseudonyms import invalid_names
from tracecore_lineage.events.parse import BadEvent
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.ledger.sql_tables import EMPTY_HEAD, EVENTS, HEAD, PROJECTION, table
from tracecore_lineage.model.ledger_name import LedgerName

__all__ = ["Difference", "catalog_differences", "compare", "in_memory_catalog", "rebuild_catalog", "snapshot", "write"]


def write(connection: Connection, rows: Iterable[Row]) -> None:
    """Insert catalog rows, with one INSERT statement per table."""
    by_table: dict[type[SQLModel], list[Row]] = {}
    for row in rows:
        by_table.setdefault(row.table, []).append(row)
    for model, found in by_table.items():
        connection.execute(insert(table(model)), [dict(row.values) for row in found])


_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between the catalog (`found`) and what the ledger's events give (`expected`; for `unreadable` the error).

    Attributes:
        row: table and key, such as `catalog_edge 3f2a… output 0`.
        what: `changed`, `missing` or `extra`; `unreadable` for an event without rows, `false name` for a name that does not match its pseudonym.
        column: column that differs in a changed row; else empty.
    """

    row: str
    what: str
    column: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        if self.what == "changed":
            return f"{self.row}: {self.column} expected {self.expected!r}, found {self.found!r}"
        return f"{self.row}: {self.what}" + (f" ({self.expected})" if self.what == "unreadable" else "")


def rebuild_catalog(database: Database, ledger_name: LedgerName) -> None:
    """Rebuild the catalog from the ledger in one transaction. Raises NegativeVerdict, changing nothing, if an event was changed or can't be read."""
    with database.write() as connection:
        delegations = delegations_of(imports_in(connection), ledger_name)
        for projected in PROJECTION:
            connection.execute(delete(projected))
        events = 0
        for leaves in _chunked(ledger.read(connection)):
            rows: list[Row] = []
            for leaf in leaves:
                if leaf.seq != events or leaf.event_id != ledger.event_id(leaf.body):
                    raise NegativeVerdict(
                        f"Event {leaf.seq} of the ledger is not what was recorded, so the catalog stays as it is: run 'tracecore verify'."
                    )
                try:
                    rows.extend(project(leaf.body, leaf.seq, ledger_name, delegations.get(leaf.event_id, ())))
                except BadEvent as error:
                    raise NegativeVerdict(
                        f"Event {leaf.seq} of the ledger can't be read ({error}), so the catalog stays as it is: run 'tracecore verify'."
                    ) from None
                events += 1
            write(connection, rows)


def catalog_differences(connection: Connection, ledger_name: LedgerName) -> list[Difference]:
    """Return all differences between catalog and ledger, then a `false name` for each person's name that does not match its pseudonym."""
    false = [Difference(f"person {each}", "false name", "", None, None) for each in invalid_names(connection)]
    return [*compare(connection, ledger_name), *false]


def compare(
    connection: Connection, ledger_name: LedgerName, *, stop: int | None = None, imports: Sequence[Import] | None = None
) -> Iterator[Difference]:
    """Yield the differences between the catalog and the rows that the ledger's events give, reading 500 events at a time to bound memory.

    With `stop`, only rows at positions below it are compared. `imports` are the ledger's imports of builds, if they were already read.
    """
    delegations = delegations_of(imports_in(connection) if imports is None else imports, ledger_name)
    place = 0
    for leaves in _chunked(ledger.read(connection, 0, stop)):
        expected: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        for leaf in leaves:
            try:
                rows = project(leaf.body, leaf.seq, ledger_name, delegations.get(leaf.event_id, ()))
            except BadEvent as error:
                yield Difference(f"ledger_event {leaf.seq}", "unreadable", "", str(error), None)
                continue
            expected.update({_key(table(row.table), row.values): row.values for row in rows})
        last = leaves[-1].seq
        yield from _compared(expected, _stored(connection, place, last + 1))
        place = last + 1
    if stop is None:
        yield from _compared({}, _stored(connection, place, None))


def _chunked(leaves: Iterable[ledger.Leaf]) -> Iterator[list[ledger.Leaf]]:
    """Yield the leaves (recorded events) in order, in lists of at most 500."""
    waiting = iter(leaves)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _key(projected: Table, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a catalog row's key: the table's name, then the primary key's values in `values`."""
    return (projected.name, *(values[column.name] for column in projected.primary_key))


def _stored(connection: Connection, start: int, stop: int | None) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Return, by key, stored catalog rows with `start` <= position < `stop`; if `stop` is None, all from `start` on and at negative positions."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for projected in PROJECTION:
        seq = projected.c.seq
        within = (seq >= start) | (seq < 0) if stop is None else (seq >= start) & (seq < stop)
        for row in connection.execute(select(projected).where(within)).mappings():
            values = {str(name): value for name, value in row.items()}
            found[_key(projected, values)] = values
    return found


def _compared(expected: Mapping[tuple[Any, ...], Mapping[str, Any]], found: Mapping[tuple[Any, ...], Mapping[str, Any]]) -> Iterator[Difference]:
    """Yield each row missing or extra, and each column changed, in `found` against `expected`; both have rows by (table, primary key)."""
    for key in sorted(expected.keys() | found.keys(), key=str):
        name = " ".join(str(part) for part in key)
        if key not in found:
            yield Difference(name, "missing", "", None, None)
        elif key not in expected:
            yield Difference(name, "extra", "", None, None)
        else:
            for column, value in found[key].items():
                if expected[key].get(column) != value:
                    yield Difference(name, "changed", column, str(expected[key].get(column)), str(value))


_INSERTED = 1000


@contextmanager
def snapshot(leaves: Iterable[ledger.Leaf], ledger_name: LedgerName, size: int) -> Iterator[Connection]:
    """Yield a connection to an in-memory catalog built from some of a ledger's events, in order; it is discarded when the block ends.

    `size` is the number of events in the whole ledger, recorded in the catalog's head row. Raises BadEvent for an invalid event.
    """
    held = leaves if isinstance(leaves, Sequence) else list(leaves)
    delegations = delegations_of((found for leaf in held if (found := read_import(leaf.body, leaf.seq)) is not None), ledger_name)
    with in_memory_catalog(ledger_name, size) as catalog:
        for start in range(0, len(held), _INSERTED):
            rows: list[Row] = []
            kept: list[dict[str, object]] = []
            for leaf in held[start : start + _INSERTED]:
                kept.append({"seq": leaf.seq, "event_id": leaf.event_id, "recorded_at": leaf.recorded_at, "leaf_hash": "", "body": leaf.body})
                rows.extend(project(leaf.body, leaf.seq, ledger_name, delegations.get(leaf.event_id, ())))
            catalog.execute(insert(EVENTS), kept)
            write(catalog, rows)
        yield catalog


@contextmanager
def in_memory_catalog(ledger_name: LedgerName, size: int, root: str = "") -> Iterator[Connection]:
    """Yield a connection to an in-memory catalog without events, with the ledger's name, size and root; it is discarded when the block ends."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as catalog:
            SQLModel.metadata.create_all(catalog)
            catalog.execute(insert(HEAD), {**EMPTY_HEAD, "size": size, "root": root, "ledger_id": ledger_name.ledger_id, "slug": ledger_name.slug})
            yield catalog
    finally:
        engine.dispose()
