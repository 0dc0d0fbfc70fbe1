"""In-memory catalogs of part of a ledger, to answer questions about builds sealed elsewhere. Events keep their original positions, with gaps."""

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
    """Open an in-memory catalog built from some of a ledger's events; it is discarded when the block ends. Raises BadEvent.

    Args:
        leaves: the events at their positions, in order.
        ledger_name: the ledger that they were recorded in.
        size: the ledger's full size, recorded as its head.
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
