"""What SQLite and PostgreSQL do differently for the record; no other module asks which of them it works on."""
# ruff: noqa: D102  # the docstrings of SQLite's methods hold for PostgreSQL's too

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
"""How long a writer waits for SQLite's write lock."""
WRITE = "tracecore_write"
"""Execution option of a connection whose transaction writes."""
_WRITABLE = "mode=rwc"


class SQLite:
    """A file in WAL mode with `synchronous=FULL`, whose writers take their lock at once (`BEGIN IMMEDIATE`).

    Attributes:
        shared: whether several hosts can use one database.
        place: location of the database, without a password.
    """

    shared = False

    def __init__(self, url: URL) -> None:
        self.place = str(url.database)
        self._path = Path(self.place).absolute()

    def is_missing(self) -> bool:
        """Whether there is no database, so that opening it would make one."""
        return not self._path.exists()

    def engine(self) -> Engine:
        """Return an engine whose every commit is on disk."""
        engine = create_engine("sqlite://", creator=lambda: _sqlite_connection(self._path), poolclass=QueuePool)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITE) else "BEGIN")

        return engine

    def settle(self) -> None:
        """Force the write-ahead log to disk before anything is read from it: its writer may have been killed before its own fsync.

        The database file itself is left alone: closing it would drop the locks of this process's other connections, and the log holds what it lacks.
        """
        with clear_disk_errors(f"the record {self.place}"), contextlib.suppress(FileNotFoundError, PermissionError):
            fsync_file(self._path.with_name(f"{self._path.name}-wal"))
            fsync_folder(self._path.parent)

    def begin_read(self, connection: Connection) -> None:
        """Turn a transaction that has begun into one consistent view."""

    def lock_head(self, connection: Connection) -> None:
        """Keep other writers out until the transaction ends; its commit waits for the disk."""

    def is_open(self, driver: Any) -> bool:
        """Whether the transaction goes on; if it has ended, drivers answer its commit without an error."""
        return bool(driver.in_transaction)

    def is_lost(self, error: DBAPIError, *, reached: bool) -> bool:
        """Whether an error means that the server went away, or was never reached."""
        del error, reached
        return False

    def ends_transaction(self, connection: Connection, error: Exception) -> bool:
        """Whether an error in a savepoint has ended the whole transaction: a full disk does, and what followed would commit by itself."""
        return isinstance(error, OperationalError) or not self.is_open(connection.connection.dbapi_connection)

    def overwrite_deleted(self, connection: Connection) -> None:
        """Make the rows that this transaction deletes unreadable in the database's file."""
        connection.execute(text("PRAGMA secure_delete = ON"))

    def problems(self, connection: Connection) -> Iterator[str]:
        """Yield what is wrong with the database itself, one sentence each."""
        found = [row[0] for row in connection.execute(text("PRAGMA quick_check(5)"))]
        if found != ["ok"]:
            yield f"The record's database is damaged: {'; '.join(found)}."


class PostgreSQL:
    """A server, whose writers take turns by locking the ledger's head row; its methods are those of `SQLite`."""

    shared = True

    def __init__(self, url: URL) -> None:
        self._url = url
        self.place = url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)

    def is_missing(self) -> bool:
        return False

    def engine(self) -> Engine:
        # Pinged before use: a restarted server is found again. The isolation is set, as a server's own default may differ: a writer that waits for
        # the head in a transaction whose view is older than its lock would be refused.
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
    """Return the dialect of a database's URL."""
    return SQLite(url) if url.get_backend_name() == "sqlite" else PostgreSQL(url)


def _sqlite_connection(path: Path) -> sqlite3.Connection:
    mode = _mode(path)
    connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
    # A text whose bytes were changed may be no UTF-8 any more: it is read all the same, so that `verify` can name its row.
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
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
    """Return whether files can be made in a folder; `os.access` knows read-only mounts, for root too."""
    return os.access(folder, os.W_OK)
