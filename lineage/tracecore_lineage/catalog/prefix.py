"""Prefixes of the ledger, from which questions are answered, and the times at which events were recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, select

from tracecore.errors import UsageError
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import EVENTS, select_in
from tracecore_schemas.refs import RefError

__all__ = ["Prefix", "head", "readable_catalog", "recorded_at"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix of the ledger: the events with `seq` < `bound`.

    Answers show `position`: the ledger's size or, for a build, the size before its release run's COMPLETE, which the prefix includes.
    """

    bound: int
    position: int


@contextmanager
def readable_catalog() -> Iterator[None]:
    """Convert parse errors in the block, which come from changed or damaged catalog rows, to `UsageError`."""
    try:
        yield
    except (RefError, json.JSONDecodeError) as error:
        raise UsageError(f"The catalog holds what no event says ({error}): run 'tracecore verify'; 'tracecore replay' makes it again.") from error


def head(connection: Connection) -> Prefix:
    """Return the prefix of the ledger that contains all its events."""
    size = ledger.head(connection).size
    return Prefix(size, size)


def recorded_at(connection: Connection, positions: Iterable[int]) -> dict[int, str]:
    """Return the recorded times of the events at `positions`, by position in the ledger; positions without an event are left out."""
    return {row.seq: row.recorded_at for row in select_in(connection, select(EVENTS.c.seq, EVENTS.c.recorded_at), EVENTS.c.seq, positions)}
