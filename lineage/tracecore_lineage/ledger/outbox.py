"""The outbox: events to be forwarded to another lineage backend, at least once and without delaying recording.

Rows are written in the transaction that appends their events, only if OpenLineage's configuration defines a transport. `relay` delivers them; it is
never called while recording, since transports may raise or block for seconds.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from tracecore.errors import UsageError
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.ledger.sql_tables import OUTBOX
from tracecore_lineage.model import rfc3339

__all__ = ["Relayed", "configured", "enqueue", "pending", "relay"]

_UNSURE = {"async_http": "it reports success before anything was delivered", "composite": "it hides that one of its targets failed"}


@dataclass(frozen=True, slots=True)
class Relayed:
    """Result of a relay: events delivered, events still waiting, and the error that stopped it, if any."""

    delivered: int
    waiting: int
    error: str | None


def configured() -> bool:
    """Whether OpenLineage's configuration defines a transport, by `OPENLINEAGE_URL`, `OPENLINEAGE__TRANSPORT…` or a configuration file."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get("OPENLINEAGE_URL") or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in os.environ):
        return True
    files = [os.environ.get("OPENLINEAGE_CONFIG"), "openlineage.yml", Path("~/.openlineage/openlineage.yml").expanduser()]
    return any(file and Path(file).is_file() for file in files)


def enqueue(connection: Connection, positions: list[int]) -> None:
    """Queue the events at these positions for delivery to an OpenLineage backend, if a transport is configured."""
    if positions and configured():
        connection.execute(insert(OUTBOX), [{"seq": position, "attempts": 0} for position in positions])


def pending(connection: Connection) -> int:
    """Return the number of events that wait for delivery to an OpenLineage backend."""
    return connection.execute(select(func.count()).select_from(OUTBOX).where(OUTBOX.c.delivered_at.is_(None))).scalar_one()


def relay(database: Database, transport: Any = None, *, limit: int = 1000) -> Relayed:
    """Deliver up to `limit` queued events, in ledger order, to an OpenLineage backend, until one fails. Return counts and the failure, if any.

    An event may be delivered twice, if the process dies before its delivery is recorded.
    Raises UsageError if `transport` is None and no OpenLineage transport is configured, or the configured one can't report failed deliveries.
    """
    chosen = transport if transport is not None else _configured_transport()
    delivered, error = 0, None
    query = select(OUTBOX.c.seq).where(OUTBOX.c.delivered_at.is_(None)).order_by(OUTBOX.c.seq).limit(limit)
    with database.read() as connection:
        waiting = list(ledger.read_at(connection, list(connection.execute(query).scalars())))
    for leaf in waiting:
        try:
            chosen.emit(json.loads(leaf.body))
        except Exception as problem:  # noqa: BLE001  # whatever a transport raises, the event waits for the next relay
            error = f"{type(problem).__name__}: {problem}"
        with database.write() as connection:
            item = update(OUTBOX).where(OUTBOX.c.seq == leaf.seq)
            values: dict[str, Any] = {"last_error": error} if error else {"delivered_at": rfc3339.now(), "last_error": None}
            connection.execute(item.values(attempts=OUTBOX.c.attempts + 1, **values))
        if error:
            break
        delivered += 1
    with database.read() as connection:
        return Relayed(delivered, pending(connection), error)


def _configured_transport() -> Any:
    """Return the transport of OpenLineage's configuration. Raises UsageError if there is none or it does not report failed deliveries."""
    from openlineage.client import OpenLineageClient

    if not configured():
        raise UsageError("No OpenLineage transport is configured: set OPENLINEAGE_URL, or name a configuration file with OPENLINEAGE_CONFIG.")
    transport = OpenLineageClient().transport
    if transport.kind in _UNSURE:
        raise UsageError(
            f"The OpenLineage transport {transport.kind!r} can't be relied on, as {_UNSURE[transport.kind]}: configure 'http', 'kafka' or 'file'."
        )
    return transport
