"""Locks of live runs visible to all hosts: PostgreSQL advisory locks, in addition to lock files, which only the local host sees.

A record holds the locks of its live runs in a dedicated session, from START to the terminal event; PostgreSQL releases them when the session ends,
for whatever reason. A restarted server has forgotten them: they are taken again with the next write, and until then no other host treats a run
that began before the restart as crashed. SQLite, which has only one host, needs none.

The session must be one server connection: a pooler that assigns connections per transaction (PgBouncer's `transaction` mode) can't be used.
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
# Without keepalives the server would hold the locks of a host that lost power for two hours. Ignored on Unix sockets.
_SESSION = ("tcp_keepalives_idle = 60", "tcp_keepalives_interval = 15", "tcp_keepalives_count = 4")


class LiveRuns:
    """Locks of the runs that an open record has started and not yet ended."""

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
        """Take the lock of a run that is about to start. Raises ConnectionLost if the server can't be reached."""
        if self._shared:
            with self._mutex:
                self._held.add(run_id)
                self._take([run_id])

    def release(self, run_id: str) -> None:
        """Release the lock of a run that has ended or never started."""
        if self._shared:
            with self._mutex:
                if run_id in self._held:
                    self._held.discard(run_id)
                    if self._session is not None:
                        with suppress(SQLAlchemyError):  # a lost session has released it already
                            self._session.execute(_RELEASE, {"key": _key(run_id)})

    def keep(self) -> None:
        """Retake all locks if the server has lost them; if it can't be reached, the next write retries."""
        if self._lost and self._held:
            with self._mutex, suppress(ConnectionLost):
                self._take(sorted(self._held))

    @contextmanager
    def attempt(self, run_id: str) -> Iterator[bool]:
        """Try to take a run's lock without waiting; yield whether it was taken, and release it when the block ends."""
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
        """Return the server's start time (UTC), before which it knows no locks; None if only lock files are used."""
        if not self._shared:
            return None
        with self._database.engine.connect() as connection:
            started: datetime = connection.execute(text("SELECT pg_postmaster_start_time()")).scalar_one()
            return started.astimezone(UTC)

    def close(self) -> None:
        """Release every lock and close the session."""
        with self._mutex:
            self._held.clear()
            self._drop()

    def _take(self, run_ids: list[str]) -> None:
        """Take these locks in the session, or all held locks in a new session if it was lost; the caller must hold the mutex."""
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
            session.detach()  # never returned to the pool, whose next user would hold the locks
            self._session = session
            version = session.dialect.server_version_info or (0,)
            for setting in (*_SESSION, *(("idle_session_timeout = 0",) if int(version[0]) >= 14 else ())):
                session.execute(text(f"SET {setting}"))
            for run_id in sorted(self._held):
                session.execute(_TRY, {"key": _key(run_id)})
        except DBAPIError as error:
            self._lost = True
            raise lost(error, self._database.place) from error
        self._lost = False

    def _drop(self) -> None:
        """Close the session, if any, which releases its locks."""
        if self._session is not None:
            with suppress(SQLAlchemyError):
                self._session.close()
            self._session = None

    def _note_loss(self, context: ExceptionContext) -> None:
        """Remember that the server closed a connection, and so may have lost the locks (SQLAlchemy event handler)."""
        if context.is_disconnect:
            self._lost = True


def _key(run_id: str) -> int:
    """Return the advisory lock key of a run: the first 8 bytes of a SHA-256 as a signed bigint."""
    return int.from_bytes(hashlib.sha256(f"tracecore run {run_id}".encode()).digest()[:8], "big", signed=True)
