"""The database that holds ledger, catalog and outbox: how it is opened, read and written.

SQLite (the default) runs in WAL mode with `synchronous=FULL`: a commit is on disk when it returns, readers never wait for writers, and a writer takes
its lock at once (`BEGIN IMMEDIATE`: a snapshot that turns into a writer late fails without waiting). PostgreSQL serializes writers on the ledger's
head row.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from tracecore.disk import disk_problem
from tracecore.errors import RunFailed, TracecoreError, UsageProblem
from tracecore_lineage.migrations import HEAD

__all__ = ["Database"]

_WRITE = "tracecore_write"
_BUSY_SECONDS = 60
_WRITABLE = "mode=rwc"
_EXPECTED = "expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"


class Database:
    """An open database, usable from several threads; other processes may write to it at the same time.

    Args:
        url: SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.
        locks: folder for the lock file that keeps two processes from upgrading at once.

    Raises:
        UsageProblem: no such database, one of a newer tracecore, or one that can't be read.
    """

    def __init__(self, url: str, locks: Path) -> None:
        self.url = _checked(url)
        self._locks = locks
        self._writing = threading.Lock()
        self._writer: int | None = None
        self.engine = self._connect()
        self._prepare()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that holds the write lock; it is durable when the block ends, and undone when the block raises."""
        if self._writer == threading.get_ident():
            raise RuntimeError("A transaction that writes is open in this thread already: pass its connection on instead of opening another.")
        with self._alone(), self._told("written"), self.engine.connect().execution_options(**{_WRITE: True}) as connection, connection.begin():
            if self.dialect == "postgresql":
                connection.execute(text("SELECT id FROM ledger_head WHERE id = 1 FOR UPDATE"))
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one consistent view of everything committed so far; never waits for writers."""
        with self._told("read"), self.engine.connect() as connection, connection.begin():
            if self.dialect == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def version(self) -> str | None:
        """Give the schema revision that the database stands at; None where it has no tables yet."""
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

    def _connect(self) -> Engine:
        if self.url.get_backend_name() == "sqlite":
            return _sqlite_engine(self.url)
        return create_engine(self.url, poolclass=QueuePool, pool_pre_ping=True)

    def _prepare(self) -> None:
        """Bring the tables to this version's revision; a database that is there already costs one small query."""
        with self._told("opened"):
            if self.version() == HEAD:
                return
            from filelock import FileLock

            from tracecore_lineage.migrations.upgrade import upgrade

            self._locks.mkdir(parents=True, exist_ok=True)
            with FileLock(self._locks / "migrate.lock"):
                upgrade(self.engine, self.version())

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Turn what a driver or the file system says into one sentence with the right exit code."""
        place = self.url.database if self.url.get_backend_name() == "sqlite" else self.url.render_as_string(hide_password=True)
        try:
            yield
        except TracecoreError:
            raise
        except DBAPIError as error:
            raise _explained(error, str(error.orig), place, doing) from error
        except sqlite3.Error as error:
            raise _explained(error, str(error), place, doing) from error


def _explained(error: Exception, reason: str, place: object, doing: str) -> TracecoreError:
    known = disk_problem(error, f"the record {place}")
    if known is not None:
        return known
    what = f"The record {place} can't be {doing}"
    if "unable to open" in reason:
        return UsageProblem(f"{what}: {reason}. Expected a folder that exists and can be written.")
    if "locked" in reason or "busy" in reason:
        return RunFailed(f"{what}: another process has held its write lock for {_BUSY_SECONDS} s. Try again when it is done.")
    return UsageProblem(f"{what}: {' '.join(reason.split()).rstrip('.')}.")


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageProblem(
            f"TRACECORE_CATALOG_URL {url!r} is no database URL: expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME."
        ) from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise UsageProblem(f"TRACECORE_CATALOG_URL names the driver {parsed.drivername!r}: {_EXPECTED}.")
    if parsed.get_backend_name() == "sqlite" and not parsed.database:
        raise UsageProblem("TRACECORE_CATALOG_URL names no SQLite file: expected sqlite:///PATH (a record in memory would be lost).")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    """Make an engine whose every transaction begins as we say, and whose every commit is on disk."""
    path = Path(url.database or "").absolute()
    engine = create_engine("sqlite://", creator=lambda: _sqlite_connection(path), poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "BEGIN")

    return engine


def _sqlite_connection(path: Path) -> sqlite3.Connection:
    mode = _mode(path)
    connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)
    if mode == _WRITABLE:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _mode(path: Path) -> str:
    """Choose how to open a file: where nothing can be written SQLite can make no lock files, and needs none if no log waits to be merged."""
    if not path.exists() or _writable(path.parent):
        return _WRITABLE
    log = path.with_name(path.name + "-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"


def _writable(folder: Path) -> bool:
    """Say whether files can be made in a folder; `os.access` knows read-only mounts, for root too."""
    return os.access(folder, os.W_OK)
