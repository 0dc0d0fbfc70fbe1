"""Taking pictures out of SQLite files that are not ours: Dagster's event log holds them as data URIs in the metadata of materializations.

Plain `sqlite3`, so that it works where no Dagster is installed. A value is rewritten, never a row removed: Dagster's page shows a sentence in the
picture's place. Afterwards neither free pages nor the write-ahead log hold what stood there.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError

__all__ = ["empty_wal", "is_sqlite", "scrub_pictures"]

_MAGIC = b"SQLite format 3\x00"
_MARKDOWN = re.compile(r"!\[([^\]]*)\]\(data:[^)]*\)")
_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*,[A-Za-z0-9+/=_%-]*")
_BUSY_MS = 10_000


def is_sqlite(path: Path) -> bool:
    """Say whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def scrub_pictures(path: Path, sentence: str) -> int:
    """Take every picture out of a database, for good.

    Which drives a picture shows can't be told from it, so all go.

    Args:
        path: of the SQLite file.
        sentence: what stands in their place.

    Returns:
        How many values were rewritten.

    Raises:
        UsageError: somebody else has the file open and keeps it from being cleaned.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.create_function("scrubbed", 1, lambda value: _scrubbed(value, sentence), deterministic=True)
        connection.execute("BEGIN IMMEDIATE")
        changed = sum(_table(connection, name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall())
        connection.execute("COMMIT")
        # Free pages may hold what was deleted long before: the file is written anew, and the log that held the old pages is emptied.
        connection.execute("VACUUM")
        _checkpoint(connection, path)
    except sqlite3.OperationalError as error:
        raise UsageError(
            f"{path} can't be cleaned of pictures ({error}): close Dagster's page ('tracecore ui') and do the same again, which goes on from here."
        ) from error
    finally:
        connection.close()
    return changed


def _table(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    columns = [row[1].replace('"', '""') for row in connection.execute(f'PRAGMA table_info("{quoted}")').fetchall()]
    changed = 0
    for column in columns:
        query = f'UPDATE "{quoted}" SET "{column}" = scrubbed("{column}") WHERE "{column}" LIKE \'%data:%\''  # noqa: S608  # names are the file's own
        changed += connection.execute(query).rowcount
    return changed


def _scrubbed(value: Any, sentence: str) -> Any:
    """Put a sentence in the place of each data URI of a value."""
    if isinstance(value, bytes):
        try:
            return str(_scrubbed(value.decode(), sentence)).encode()
        except UnicodeDecodeError:
            return value
    if not isinstance(value, str):
        return value
    # Plain words, for the value is JSON and stays so.
    plain = sentence.replace("\\", "/").replace('"', "'")
    return _URI.sub("data:,", _MARKDOWN.sub(lambda found: f"*{found[1]}: {plain}*", value))


def empty_wal(path: Path) -> None:
    """Write the write-ahead log of a database into its file and empty it: old pages in it hold what was changed since."""
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None)
    try:
        _checkpoint(connection, path)
    finally:
        connection.close()


def _checkpoint(connection: sqlite3.Connection, path: Path) -> None:
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise UsageError(f"The write-ahead log of {path} can't be emptied, for somebody reads it: do the same again when nobody does.")
