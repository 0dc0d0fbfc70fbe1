"""A replica: part of a ledger and the catalog that follows from it, in memory, asked as the record that the events came from would be.

Events keep their places: a replica has gaps in place of the others. Questions about a build that was sealed elsewhere are answered from a replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, insert
from sqlmodel import SQLModel

from tracecore_lineage.catalog import replay
from tracecore_lineage.catalog.delegation import delegations_of, read_import
from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import EMPTY_HEAD, EVENTS, HEAD
from tracecore_lineage.model.ledger_name import LedgerName

__all__ = ["snapshot"]

_CHUNK = 1000


@contextmanager
def snapshot(leaves: Sequence[ledger.Leaf] | Iterable[ledger.Leaf], ledger_name: LedgerName, size: int) -> Iterator[Connection]:
    """Make a replica.

    Args:
        leaves: its events at their places, in order.
        ledger_name: that they were recorded in.
        size: of the ledger that they are of.

    Yields:
        A connection to it, gone when the block ends.

    Raises:
        BadEvent: an event can't be shown.
    """
    held = leaves if isinstance(leaves, Sequence) else list(leaves)
    voices = delegations_of((found for leaf in held if (found := read_import(leaf.body, leaf.seq)) is not None), ledger_name)
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as made, made.begin():
            SQLModel.metadata.create_all(made)
            named = {"ledger_id": ledger_name.ledger_id, "slug": ledger_name.slug}
            made.execute(insert(HEAD), {**EMPTY_HEAD, "size": size, "root": "", **named})
            for start in range(0, len(held), _CHUNK):
                rows: list[Row] = []
                kept: list[dict[str, object]] = []
                for leaf in held[start : start + _CHUNK]:
                    kept.append({"seq": leaf.seq, "event_id": leaf.event_id, "recorded_at": leaf.recorded_at, "leaf_hash": "", "body": leaf.body})
                    rows.extend(project(leaf.body, leaf.seq, ledger_name, voices.get(leaf.event_id, ())))
                made.execute(insert(EVENTS), kept)
                replay.write(made, rows)
            yield made
    finally:
        engine.dispose()
