"""The SQLite file of a campaign: an append-only log, and tables that answer who gets what next, which the log could rebuild."""

from __future__ import annotations

import sqlite3
from pathlib import Path

__all__ = ["open_database"]

_FORMAT = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS log (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    task TEXT,
    who TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS log_stays BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log of a campaign is never changed'); END;
CREATE TRIGGER IF NOT EXISTS log_keeps BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log of a campaign is never changed'); END;
CREATE INDEX IF NOT EXISTS log_of_task ON log (task, seq);
CREATE TABLE IF NOT EXISTS tasks (
    task TEXT PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    review INTEGER NOT NULL,
    stage TEXT NOT NULL,
    labeler TEXT,
    reviewer TEXT,
    until INTEGER,
    refusals INTEGER NOT NULL DEFAULT 0,
    next_ordinal INTEGER NOT NULL DEFAULT 1,
    reviewed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_next ON tasks (stage, position);
CREATE INDEX IF NOT EXISTS tasks_held ON tasks (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS barred (task TEXT NOT NULL, labeler TEXT NOT NULL, PRIMARY KEY (task, labeler)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
    id TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    who TEXT NOT NULL,
    digest TEXT NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (who TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open a campaign's file, making its tables where it is new.

    Every commit is on disk when it returns (WAL with synchronous=FULL): what is acknowledged survives a power cut.

    Raises:
        sqlite3.DatabaseError: the file is no campaign of this format.
    """
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA busy_timeout = 60000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in {0, _FORMAT}:
            raise sqlite3.DatabaseError(f"it has format {found}, this version reads format {_FORMAT}")  # noqa: TRY301  # closed below with the rest
        if found == 0:
            # One transaction: a kill leaves all tables or none.
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection
