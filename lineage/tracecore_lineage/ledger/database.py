"""The database that holds ledger, catalog and outbox: how it is opened, read and written.

SQLite (the default) runs in WAL mode with `synchronous=FULL`: a commit is on disk when it returns, readers never wait for writers, and a writer takes
its lock at once (`BEGIN IMMEDIATE`: a snapshot that turns into a writer late fails without waiting). PostgreSQL serializes writers on the ledger's
head row.
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
from tracecore_lineage.ledger.dialects import BUSY_SECONDS, WRITE, dialect_of
from tracecore_lineage.ledger.migrations import HEAD

__all__ = ["ConnectionLost", "Database", "NoLedger", "lost"]

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionLost(RunFailed):
    """The database's server went away while something was written.

    Args:
        message: what happened and what to do.
        durable: False where nothing of it is recorded; None where that can't be known, as the commit was under way. The same bytes sent again are
            recorded once.
    """

    def __init__(self, message: str, *, durable: bool | None) -> None:
        super().__init__(message)
        self.durable = durable


class NoLedger(UsageError):
    """A database that holds no ledger where one is expected.

    Args:
        place: of the database, without a password.
    """

    def __init__(self, place: str) -> None:
        super().__init__(f"The catalog {place} holds no ledger.")
        self.place = place


class Database:
    """An open database, usable from several threads; other processes may write to it at the same time.

    Args:
        url: SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.
        locks: folder for the lock file that keeps two processes from upgrading at once.
        new: whether the tables of an empty ledger may be made there.

    Raises:
        UsageError: no such database, one without a ledger where none may be made, one of a newer tracecore, or one that can't be read.
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
            self.close()  # no caller can: a connection of a server is one of the few that it has
            raise

    def refuse_nested(self) -> None:
        """Raise where this thread has a writing transaction open: another one would wait for it for ever."""
        if self._writer == threading.get_ident():
            raise RuntimeError("A transaction that writes is open in this thread already: pass its connection on instead of opening another.")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that holds the write lock; it is durable when the block ends, and undone when the block raises.

        Raises:
            ConnectionLost: the server went away; the error says whether what was written is durable, if that is known.
        """
        self.refuse_nested()
        reached = committing = False
        with self._alone(), self.told("written"):
            try:
                with self.engine.connect().execution_options(**{WRITE: True}) as connection:
                    reached = True
                    with connection.begin() as transaction:
                        self.dialect.lock_head(connection)
                        yield connection
                        self._refuse_undone(connection)
                        committing = True
                        transaction.commit()
            except DBAPIError as error:
                if self.dialect.is_lost(error, reached=reached):
                    raise lost(error, self.place, committing=committing) from error
                raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one consistent view of everything committed so far; never waits for writers.

        Raises:
            ConnectionLost: the server went away.
        """
        reached = False
        with self.told("read"):
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
        """Return what a function answers when called with a connection to one consistent view (`read`) and the arguments."""
        with self.read() as connection:
            return question(connection, *args, **options)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def version(self) -> str | None:
        """Return the schema revision of the database; None where it has no tables yet."""
        with self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, "alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let the threads of this process write one after the other, without asking the database in turns."""
        with self._writing:
            self._writer = threading.get_ident()
            try:
                yield
            finally:
                self._writer = None

    def _prepare(self) -> None:
        """Bring the tables to this version's revision; a database that is there already costs one small query."""
        with self.told("opened"):
            found = self.version()
            if found is None and not self._new:
                raise NoLedger(self.place)
            if found != HEAD:
                self._upgrade()
        self.dialect.settle()

    def _upgrade(self) -> None:
        from filelock import FileLock

        from tracecore_lineage.ledger.migrations.upgrade import upgrade

        self._locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self._locks / "migrate.lock"):
            upgrade(self.engine, self.version())

    def _refuse_undone(self, connection: Connection) -> None:
        """Raise where the transaction has ended, so that its commit would make nothing durable."""
        if not self.dialect.is_open(connection.connection.dbapi_connection):
            raise RunFailed("The database has undone what was to be written, so nothing of it is recorded. Send the same again.")

    def explained(self, error: Exception, doing: str) -> Exception:
        """Return what a driver or the file system says as one sentence with the right exit code; any other error is given back."""
        if isinstance(error, DBAPIError | sqlite3.Error):
            told = _explained(error, str(error.orig if isinstance(error, DBAPIError) else error), self.place, doing)
            told.__cause__ = error
            return told
        return error

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Return what a driver or the file system says in one sentence with the right exit code."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise self.explained(error, doing) from error


def lost(error: DBAPIError, place: str, *, committing: bool = False) -> ConnectionLost:
    """Return the error for a server that went away or never answered, with what is known of the write."""
    reason = _reason(error)
    if committing:
        return ConnectionLost(
            f"The connection to the record {place} was lost during the commit ({reason}): whether it is recorded is not known. "
            "Send the same again: what is recorded already is not recorded twice.",
            durable=None,
        )
    return ConnectionLost(f"The record {place} can't be reached ({reason}): nothing of this write is recorded. Send the same again.", durable=False)


def _reason(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split()).rstrip(".")


def _explained(error: Exception, reason: str, place: object, doing: str) -> TracecoreError:
    known = disk_problem(error, f"the record {place}")
    if known is not None:
        return known
    what = f"The record {place} can't be {doing}"
    if "unable to open" in reason:
        if os.path.exists(str(place)) and not os.access(str(place), os.R_OK | os.W_OK):  # noqa: PTH110  # a text: a URL has no such file
            return UsageError(f"{what}: the permission is missing. Look at its owner.")
        return UsageError(f"{what}: {reason}. Expected a folder that exists and can be written.")
    if "locked" in reason or "busy" in reason:
        return RunFailed(f"{what}: another process has held its write lock for {BUSY_SECONDS} s. Try again when it is done.")
    return UsageError(f"{what}: {' '.join(reason.split()).rstrip('.?')}.")


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # its text may hold a password
        raise UsageError("TRACECORE_CATALOG_URL is not a database URL: expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME.") from None
