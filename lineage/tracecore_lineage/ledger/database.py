"""The database of ledger, catalog and outbox: opening, reading and writing.

SQLite (the default) runs in WAL mode with `synchronous=FULL`: a commit is on disk when it returns, readers never wait for writers, and writers lock
immediately (`BEGIN IMMEDIATE`, since upgrading a read transaction can fail without waiting). PostgreSQL serializes writers on the ledger's head row.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.system.failures import disk_problem
from tracecore.system.locks import hold_named
from tracecore_lineage.ledger.dialects import BUSY_SECONDS, WRITE, dialect_of
from tracecore_lineage.ledger.migrations import HEAD

__all__ = ["ConnectionLost", "Database", "NoLedger", "lost"]

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionLost(RunFailed):
    """The database server became unreachable during a write.

    `durable` is False if nothing was recorded, None if unknown (the commit was in progress); sending the same bytes again records them once.
    """

    def __init__(self, message: str, *, durable: bool | None) -> None:
        super().__init__(message)
        self.durable = durable


class NoLedger(UsageError):
    """A database without a ledger where one is expected; `place` is its location without a password."""

    def __init__(self, place: str) -> None:
        super().__init__(f"The catalog {place} holds no ledger.")
        self.place = place


class Database:
    """An open database, usable from several threads; other processes may write to it concurrently.

    Args:
        url: SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.
        locks: folder for the lock file that serializes schema upgrades.
        new: whether the tables of an empty ledger may be created.

    Raises:
        NoLedger: no database or no ledger there, and `new` is False.
        UsageError: written by a newer tracecore, or it can't be read.
    """

    def __init__(self, url: str, locks: Path, *, new: bool = True) -> None:
        self.url = _parsed(url)
        self.dialect = dialect_of(self.url)
        self.place = self.dialect.place
        self._new = new
        if not new and self.dialect.is_missing():
            raise NoLedger(self.place)
        self._locks = locks
        self._writing = threading.Lock()
        self._writer: int | None = None
        self.engine = self.dialect.engine()
        try:
            self._prepare()
        except BaseException:
            self.close()  # the caller has no object to close, and server connections are scarce
            raise

    def refuse_nested(self) -> None:
        """Raise RuntimeError if this thread already has a writing transaction open: waiting for a second one would never end."""
        if self._writer == threading.get_ident():
            raise RuntimeError("A transaction that writes is open in this thread already: pass its connection on instead of opening another.")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that has the write lock: committed durably when the block ends, rolled back if the block raises.

        Raises ConnectionLost if the server became unreachable; the error states whether the writes are durable, if that is known.
        """
        self.refuse_nested()
        reached = committing = False
        with self._write_lock(), self.explaining("written"):
            try:
                with self.engine.connect().execution_options(**{WRITE: True}) as connection:
                    reached = True
                    with connection.begin() as transaction:
                        self.dialect.lock_head(connection)
                        yield connection
                        if not self.dialect.is_open(connection.connection.dbapi_connection):  # a commit would write nothing
                            raise RunFailed("The database has undone what was to be written, so nothing of it is recorded. Send the same again.")
                        committing = True
                        transaction.commit()
            except DBAPIError as error:
                if self.dialect.is_lost(error, reached=reached):
                    raise lost(error, self.place, committing=committing) from error
                raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection to a consistent read-only view of all commits, never waiting for writers. Raises ConnectionLost if unreachable."""
        reached = False
        with self.explaining("read"):
            try:
                with self.engine.connect() as connection, connection.begin():
                    reached = True
                    self.dialect.begin_read(connection)
                    yield connection
            except DBAPIError as error:
                if self.dialect.is_lost(error, reached=reached):
                    raise ConnectionLost(f"The record {self.place} can't be reached ({_reason(error)}). Ask again.", durable=False) from error
                raise

    def query(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Return `question(connection, *args, **options)`, called with a connection to a consistent read-only view."""
        with self.read() as connection:
            return question(connection, *args, **options)

    def close(self) -> None:
        """Close every connection to the database."""
        self.engine.dispose()

    def version(self) -> str | None:
        """Return the schema revision (Alembic's) of the database; None if it has no tables yet."""
        with self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, "alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        """Lock this process's mutex for writers during a block, so that threads queue here instead of polling for the database's lock."""
        with self._writing:
            self._writer = threading.get_ident()
            try:
                yield
            finally:
                self._writer = None

    def _prepare(self) -> None:
        """Create or upgrade the tables to the current schema revision. Raises NoLedger if there are no tables and none may be created."""
        with self.explaining("opened"):
            found = self.version()
            if found is None and not self._new:
                raise NoLedger(self.place)
            if found != HEAD:
                from tracecore_lineage.ledger.migrations.upgrade import upgrade

                with hold_named(self._locks, "migrate"):
                    upgrade(self.engine, self.version())
        self.dialect.settle()

    def explained(self, error: Exception, doing: str) -> Exception:
        """Return a driver's error as a TracecoreError, any other unchanged; `doing` (e.g. `written`) completes the text "The record can't be …"."""
        if isinstance(error, DBAPIError | sqlite3.Error):
            translated = _explained(error, str(error.orig if isinstance(error, DBAPIError) else error), self.place, doing)
            translated.__cause__ = error
            return translated
        return error

    @contextmanager
    def explaining(self, doing: str) -> Iterator[None]:
        """Re-raise driver errors in the block as one-sentence TracecoreErrors; `doing` (e.g. `written`) completes "The record can't be …"."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise self.explained(error, doing) from error


def lost(error: DBAPIError, place: str, *, committing: bool = False) -> ConnectionLost:
    """Return the ConnectionLost error for an unreachable server; if `committing` is True, it states that the commit may have succeeded."""
    reason = _reason(error)
    if committing:
        return ConnectionLost(
            f"The connection to the record {place} was lost during the commit ({reason}): whether it is recorded is not known. "
            "Send the same again: what is recorded already is not recorded twice.",
            durable=None,
        )
    return ConnectionLost(f"The record {place} can't be reached ({reason}): nothing of this write is recorded. Send the same again.", durable=False)


def _reason(error: DBAPIError) -> str:
    """Return the message of a database driver's error as one line without a final period."""
    return " ".join(str(error.orig).split()).rstrip(".")


def _explained(error: Exception, reason: str, place: str, doing: str) -> TracecoreError:
    """Return a TracecoreError for a driver error with message `reason`; `doing` (e.g. `written`) completes "The record can't be …"."""
    known = disk_problem(error, f"the record {place}")
    if known is not None:
        return known
    what = f"The record {place} can't be {doing}"
    if "unable to open" in reason:
        if os.path.exists(place) and not os.access(place, os.R_OK | os.W_OK):  # noqa: PTH110  # a text: a URL has no such file
            return UsageError(f"{what}: the permission is missing. Look at its owner.")
        return UsageError(f"{what}: {reason}. Expected a folder that exists and can be written.")
    if "locked" in reason or "busy" in reason:
        return RunFailed(f"{what}: another process has held its write lock for {BUSY_SECONDS} s. Try again when it is done.")
    return UsageError(f"{what}: {' '.join(reason.split()).rstrip('.?')}.")


def _parsed(url: str) -> URL:
    """Parse a database URL. Raises UsageError, without the URL's text, if it is not valid."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # its text may hold a password
        raise UsageError("TRACECORE_CATALOG_URL is not a database URL: expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME.") from None
