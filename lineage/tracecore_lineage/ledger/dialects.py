"""Differences between SQLite and PostgreSQL; no other module depends on which one is used."""
# ruff: noqa: D102  # SQLite's docstrings apply to PostgreSQL's methods too

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from tracecore.files import fsync_file, fsync_folder
from tracecore.system.failures import clear_disk_errors

__all__ = ["BUSY_SECONDS", "WRITE", "Dialect", "PostgreSQL", "SQLite", "dialect_of"]

BUSY_SECONDS = 60
"""Seconds that a writer waits for SQLite's write lock."""
WRITE = "tracecore_write"
"""Execution option of a connection whose transaction writes."""
_WRITABLE = "mode=rwc"


class SQLite:
    """A SQLite file in WAL mode with `synchronous=FULL`, whose writers lock it at once (`BEGIN IMMEDIATE`).

    Attributes:
        shared: whether several hosts can use one database.
        place: location of the database, without a password.
    """

    shared = False

    def __init__(self, url: URL) -> None:
        self.place = str(url.database)
        self._path = Path(self.place).absolute()

    def is_missing(self) -> bool:
        """Whether the SQLite file does not exist, so that opening the database creates it."""
        return not self._path.exists()

    def engine(self) -> Engine:
        """Return an SQLAlchemy engine for the database, whose commits are durable."""
        engine = create_engine("sqlite://", creator=lambda: _sqlite_connection(self._path), poolclass=QueuePool)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITE) else "BEGIN")

        return engine

    def settle(self) -> None:
        """Flush the database's write-ahead log to disk before it is read, since its writer may have been killed before its own fsync.

        The database file itself is not opened: closing it would drop the locks of this process's other connections.
        """
        with clear_disk_errors(f"the record {self.place}"), contextlib.suppress(FileNotFoundError, PermissionError):
            fsync_file(self._path.with_name(f"{self._path.name}-wal"))
            fsync_folder(self._path.parent)

    def begin_read(self, connection: Connection) -> None:
        """Make a transaction that has just begun a consistent read-only view (SQLite needs nothing for this)."""

    def lock_head(self, connection: Connection) -> None:
        """Block other writers until the transaction ends, and make its commit wait for the disk (SQLite does both without this call)."""

    def is_open(self, driver: Any) -> bool:
        """Whether the transaction of a driver connection is still open; to commit after it ended raises no error but writes nothing."""
        return bool(driver.in_transaction)

    def is_lost(self, error: DBAPIError, *, reached: bool) -> bool:
        """Whether an error means that the database server is unreachable; `reached` is whether a connection had been made before."""
        del error, reached
        return False

    def ends_transaction(self, connection: Connection, error: Exception) -> bool:
        """Whether an error in a savepoint (e.g. a full disk) ended the whole transaction, so that later statements commit one by one."""
        return isinstance(error, OperationalError) or not self.is_open(connection.connection.dbapi_connection)

    def overwrite_deleted(self, connection: Connection) -> None:
        """Make this transaction overwrite the rows that it deletes, so that they can't be recovered from the file."""
        connection.execute(text("PRAGMA secure_delete = ON"))

    def problems(self, connection: Connection) -> Iterator[str]:
        """Yield a sentence for each problem of the database file or server itself."""
        found = [row[0] for row in connection.execute(text("PRAGMA quick_check(5)"))]
        if found != ["ok"]:
            yield f"The record's database is damaged: {'; '.join(found)}."


class PostgreSQL:
    """A PostgreSQL server, whose writers are serialized by locking the ledger's head row; same methods as `SQLite`."""

    shared = True

    def __init__(self, url: URL) -> None:
        self._url = url
        self.place = url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)

    def is_missing(self) -> bool:
        return False

    def engine(self) -> Engine:
        # Pinged before use, to reconnect to a restarted server. READ COMMITTED, whatever the server's default: under a stricter level a writer that
        # waited for the head's lock would fail.
        return create_engine(self._url, poolclass=QueuePool, pool_pre_ping=True, isolation_level="READ COMMITTED")

    def settle(self) -> None:
        pass

    def begin_read(self, connection: Connection) -> None:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))

    def lock_head(self, connection: Connection) -> None:
        locked = text("SELECT current_setting('synchronous_commit') FROM ledger_head WHERE id = 1 FOR UPDATE")
        if connection.execute(locked).scalar_one_or_none() == "off":
            connection.execute(text("SET LOCAL synchronous_commit = on"))

    def is_open(self, driver: Any) -> bool:
        return bool(driver.info.transaction_status.name == "INTRANS")

    def is_lost(self, error: DBAPIError, *, reached: bool) -> bool:
        return error.connection_invalidated or not reached

    def ends_transaction(self, connection: Connection, error: Exception) -> bool:
        return connection.invalidated or (isinstance(error, DBAPIError) and error.connection_invalidated)

    def overwrite_deleted(self, connection: Connection) -> None:
        pass

    def problems(self, connection: Connection) -> Iterator[str]:
        if connection.execute(text("SELECT current_setting('fsync')")).scalar_one() != "on":
            yield "The PostgreSQL server runs with fsync off: what is acknowledged may be lost in a power cut."


Dialect = SQLite | PostgreSQL


def dialect_of(url: URL) -> Dialect:
    """Return the dialect of a database URL; any backend but SQLite is treated as PostgreSQL."""
    return SQLite(url) if url.get_backend_name() == "sqlite" else PostgreSQL(url)


def _sqlite_connection(path: Path) -> sqlite3.Connection:
    """Open a SQLite file and return a connection with durable commits; it is read-only if the file's folder is."""
    mode = _mode(path)
    connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
    # Changed text may not be valid UTF-8: it is read anyway, so that `verify` can report its row.
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    if mode == _WRITABLE:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _mode(path: Path) -> str:
    """Return the SQLite URI mode of a file: read-write, or read-only if its folder is (`immutable` if there is no write-ahead log to merge)."""
    if not path.exists() or os.access(path.parent, os.W_OK):  # unlike the mode bits, this also detects read-only mounts for root
        return _WRITABLE
    log = path.with_name(path.name + "-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
