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
        """Take the database server's lock for a run about to start (SQLite has none). Raises ConnectionLost if the server is unreachable."""
        if self._shared:
            with self._mutex:
                self._held.add(run_id)
                self._take([run_id])

    def release(self, run_id: str) -> None:
        """Release the database server's lock of a run that has ended or never started, if this process has it."""
        if self._shared:
            with self._mutex:
                if run_id in self._held:
                    self._held.discard(run_id)
                    if self._session is not None:
                        with suppress(SQLAlchemyError):  # a lost session has released it already
                            self._session.execute(_RELEASE, {"key": _key(run_id)})

    def keep(self) -> None:
        """Retake the locks of all live runs if the server lost them; if it can't be reached, the next write tries again."""
        if self._lost and self._held:
            with self._mutex, suppress(ConnectionLost):
                self._take(sorted(self._held))

    @contextmanager
    def attempt(self, run_id: str) -> Iterator[bool]:
        """Try to take the lock of a run without waiting; yield whether it succeeded (always in SQLite), and release it when the block ends."""
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
        """Return the database server's start time (UTC), since it forgets locks when it restarts; None with SQLite, which has no such locks."""
        if not self._shared:
            return None
        with self._database.engine.connect() as connection:
            started: datetime = connection.execute(text("SELECT pg_postmaster_start_time()")).scalar_one()
            return started.astimezone(UTC)

    def close(self) -> None:
        """Release the locks of all runs and close the database session that has them."""
        with self._mutex:
            self._held.clear()
            self._drop()

    def _take(self, run_ids: list[str]) -> None:
        """Take the locks of the runs `run_ids` in the session, or of all live runs in a new session if it was lost. The caller needs the mutex."""
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
        """Close the database session that has the locks of runs, if any, which releases them."""
        if self._session is not None:
            with suppress(SQLAlchemyError):
                self._session.close()
            self._session = None

    def _note_loss(self, context: ExceptionContext) -> None:
        """Set a mark if an error means that the server closed a connection, and so may have lost the locks (SQLAlchemy event handler)."""
        if context.is_disconnect:
            self._lost = True


def _key(run_id: str) -> int:
    """Return the key of a run's PostgreSQL advisory lock: the first 8 bytes of a SHA-256 with the run id, as a signed bigint."""
    return int.from_bytes(hashlib.sha256(f"tracecore run {run_id}".encode()).digest()[:8], "big", signed=True)
