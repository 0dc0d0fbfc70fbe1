"""Writing the catalog: the rows of new events, in the transaction that appends them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert
from sqlmodel import SQLModel

from tracecore_lineage.projection import Row
from tracecore_lineage.tables import PROJECTION, table

__all__ = ["clear", "write"]


def write(connection: Connection, rows: Iterable[Row]) -> None:
    """Insert rows, one statement a table."""
    by_table: dict[type[SQLModel], list[Row]] = {}
    for row in rows:
        by_table.setdefault(row.table, []).append(row)
    for model, found in by_table.items():
        connection.execute(insert(table(model)), [dict(row.values) for row in found])


def clear(connection: Connection) -> None:
    """Delete every row of the projection."""
    for projected in PROJECTION:
        connection.execute(delete(projected))
