"""Locks of live runs that a team's other hosts see: PostgreSQL advisory locks in addition to the lock files, which only their own host sees.

A record holds the locks of its live runs in one session of its own, from START to the terminal event. PostgreSQL lets go of them when the session
ends, however it ends. A server that is started anew has forgotten them; they are taken again with the next write, and until then no other
host takes a run that began before the server did for a crashed one. On SQLite, which one host has, there is nothing to do.

A session is one server connection: a pooler between that hands out connections by transaction (PgBouncer's `transaction` mode) can't be used.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tracecore_lineage.ledger.database import ConnectionLost, Database, lost

__all__ = ["LiveRuns"]

_TRY = text("SELECT pg_try_advisory_lock(:key)")
_RELEASE = text("SELECT pg_advisory_unlock(:key)")
# A host that lost its power says no goodbye: without these the server waits two hours for it. Ignored on Unix sockets, which have no such case.
_SESSION = ("tcp_keepalives_idle = 60", "tcp_keepalives_interval = 15", "tcp_keepalives_count = 4")


class LiveRuns:
    """The locks of the runs that one open record has started and not ended.

    Args:
        database: of the record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shared = database.dialect.shared
        self._mutex = threading.Lock()
        self._session: Connection | None = None
        self._held: set[str] = set()
        self._lost = False
        if self._shared:
            event.listen(database.engine, "handle_error", self._note_loss)

    def hold(self, run_id: str) -> None:
        """Take the lock of a run that is about to start."""
        if self._shared:
            with self._mutex:
                self._held.add(run_id)
                self._take([run_id])

    def release(self, run_id: str) -> None:
        """Let go of the lock of a run that has its terminal event, or never started."""
        if self._shared:
            with self._mutex:
                if run_id in self._held:
                    self._held.discard(run_id)
                    if self._session is not None:
                        with suppress(SQLAlchemyError):  # a lost session has let go already
                            self._session.execute(_RELEASE, {"key": _key(run_id)})

    def keep(self) -> None:
        """Take the locks again where the server has lost them; where it can't be reached, the next write tries again."""
        if self._lost and self._held:
            with self._mutex, suppress(ConnectionLost):
                self._take(sorted(self._held))

    @contextmanager
    def attempt(self, run_id: str) -> Iterator[bool]:
        """Try the lock of a run without waiting; where it is had it is held inside the block."""
        if not self._shared:
            yield True
            return
        with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
            got = bool(session.execute(_TRY, {"key": _key(run_id)}).scalar_one())
            try:
                yield got
            finally:
                if got:
                    session.execute(_RELEASE, {"key": _key(run_id)})

    def since(self) -> datetime | None:
        """Return the time since which the server knows the live runs; None where only lock files do."""
        if not self._shared:
            return None
        with self._database.engine.connect() as connection:
            started: datetime = connection.execute(text("SELECT pg_postmaster_start_time()")).scalar_one()
            return started.astimezone(UTC)

    def close(self) -> None:
        """Let go of every lock."""
        with self._mutex:
            self._held.clear()
            self._drop()

    def _take(self, run_ids: list[str]) -> None:
        """Take locks in the session, or in a new one with all the others where it was lost; needs the mutex."""
        if self._session is not None and not self._lost:
            try:
                for run_id in run_ids:
                    self._session.execute(_TRY, {"key": _key(run_id)})
            except SQLAlchemyError:
                self._lost = True
            else:
                return
        self._drop()
        try:
            session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            session.detach()  # never back to the pool, whose next user would hold the locks
            self._session = session
            for setting in (*_SESSION, *(("idle_session_timeout = 0",) if _version(session) >= 14 else ())):
                session.execute(text(f"SET {setting}"))
            for run_id in sorted(self._held):
                session.execute(_TRY, {"key": _key(run_id)})
        except DBAPIError as error:
            self._lost = True
            raise lost(error, self._database.place) from error
        self._lost = False

    def _drop(self) -> None:
        if self._session is not None:
            with suppress(SQLAlchemyError):
                self._session.close()
            self._session = None

    def _note_loss(self, context: ExceptionContext) -> None:
        if context.is_disconnect:
            self._lost = True


def _version(session: Connection) -> int:
    return int((session.dialect.server_version_info or (0,))[0])


def _key(run_id: str) -> int:
    """Return the number of a run's lock: 8 bytes of a SHA-256, signed as PostgreSQL's bigint is."""
    return int.from_bytes(hashlib.sha256(f"tracecore run {run_id}".encode()).digest()[:8], "big", signed=True)
