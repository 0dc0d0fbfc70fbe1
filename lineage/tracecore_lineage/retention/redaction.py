"""Redaction: removal of rows and pictures of withdrawn drives from files shared with other drives."""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tracecore.errors import UsageError

__all__ = ["empty_wal", "is_sqlite", "scrub_pictures", "spellings", "without_drives"]


def spellings(drive: str) -> tuple[str, str]:
    """Return (plain, percent-encoded): the two forms in which a drive's name occurs in refs of its frames."""
    return drive, quote(drive, safe="")


def without_drives(data: bytes, drives: Collection[str]) -> bytes | None:
    """Return a Parquet file's bytes without the rows that name one of the drives; None if no row does.

    A row names a drive if a text column equals its name or starts with `<drive>/` or `frame/<drive>/`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import pyarrow.types as pat

    table = pq.read_table(io.BytesIO(data))
    spelled = sorted({name for drive in drives for name in spellings(drive)})
    named: Any = None
    for column in table.columns:
        kind = column.type.value_type if pat.is_dictionary(column.type) else column.type
        if not (pat.is_string(kind) or pat.is_large_string(kind)):
            continue
        texts = column.cast(pa.string())
        for name in spelled:
            for hit in (pc.equal(texts, name), pc.starts_with(texts, f"{name}/"), pc.starts_with(texts, f"frame/{name}/")):
                filled = pc.fill_null(hit, False)  # Arrow's signature
                named = filled if named is None else pc.or_(named, filled)
    if named is None or not pc.any(named).as_py():
        return None
    sink = io.BytesIO()
    pq.write_table(table.filter(pc.invert(named)), sink, version="2.6", compression="zstd", store_schema=False)
    return sink.getvalue()


_MAGIC = b"SQLite format 3\x00"
_MARKDOWN = re.compile(r"!\[([^\]]*)\]\(data:[^)]*\)")
_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*,[A-Za-z0-9+/=_%-]*")
_BUSY_S = 10


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def scrub_pictures(path: Path, sentence: str) -> int:
    """Remove every data URI from an SQLite file, irrecoverably (`sentence` replaces Markdown images); return how many values had `data:`.

    A picture doesn't record which drives it shows, so all are removed. Raises UsageError if another process blocks the file.
    """
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.create_function("scrubbed", 1, lambda value: _scrubbed(value, sentence), deterministic=True)
            connection.execute("BEGIN IMMEDIATE")
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            changed = sum(_scrub_table(connection, name) for (name,) in names)
            connection.execute("COMMIT")
            # Free pages may contain deleted data: rewrite the file, and empty the log with its old pages.
            connection.execute("VACUUM")
            _checkpoint(connection, path)
    except sqlite3.OperationalError as error:
        raise UsageError(
            f"{path} can't be cleaned of pictures ({error}): close Dagster's page ('tracecore ui') and do the same again, which goes on from here."
        ) from error
    return changed


def _scrub_table(connection: sqlite3.Connection, table: str) -> int:
    """Remove the data URIs from every value of a table by SQL function `scrubbed`; return the number of values that contain `data:`."""
    quoted = table.replace('"', '""')
    columns = [row[1].replace('"', '""') for row in connection.execute(f'PRAGMA table_info("{quoted}")').fetchall()]
    changed = 0
    for column in columns:
        query = f'UPDATE "{quoted}" SET "{column}" = scrubbed("{column}") WHERE "{column}" LIKE \'%data:%\''  # noqa: S608  # names are the file's own
        changed += connection.execute(query).rowcount
    return changed


def _scrubbed(value: Any, sentence: str) -> Any:
    """Return a text, or UTF-8 bytes, with Markdown images replaced by `sentence` and other data URIs emptied; other values unchanged."""
    if isinstance(value, bytes):
        try:
            return str(_scrubbed(value.decode(), sentence)).encode()
        except UnicodeDecodeError:
            return value
    if not isinstance(value, str):
        return value
    # The value may be JSON and must stay valid: no quotes or backslashes.
    plain = sentence.replace("\\", "/").replace('"', "'")
    return _URI.sub("data:,", _MARKDOWN.sub(lambda found: f"*{found[1]}: {plain}*", value))


def empty_wal(path: Path) -> None:
    """Write an SQLite database's write-ahead log into its main file, and truncate the log, whose old pages contain deleted values."""
    with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
        _checkpoint(connection, path)


def _checkpoint(connection: sqlite3.Connection, path: Path) -> None:
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise UsageError(f"The write-ahead log of {path} can't be emptied while another process reads it: do the same again when none does.")
