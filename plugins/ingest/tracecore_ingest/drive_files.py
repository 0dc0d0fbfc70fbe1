"""Find drive files by name, unpack compressed files and write-ahead logs, and index files by their format."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import zstandard

import tracecore as tc
from tracecore_ingest import sqlite_reader
from tracecore_ingest.errors import Damaged
from tracecore_ingest.log_index import Log, Opener
from tracecore_ingest.mcap_reader import scan_mcap

__all__ = ["SUFFIXES", "WAL", "is_drive_file", "read_log", "readable", "stem_of"]

WAL = "-wal"
"""SQLite's suffix of a write-ahead log."""

SUFFIXES = (".mcap", ".db3", f".db3{WAL}", "*.mcap.zstd", "*.db3.zstd", "*.mcap.zst", "*.db3.zst", "metadata.yaml")
"""Files that are read from a folder: drive files, their write-ahead logs, the metadata of bags."""

_ZSTD = b"\x28\xb5\x2f\xfd"
_PACKED = (".zstd", ".zst")
_PIECE = 1 << 20


def is_drive_file(path: Path) -> bool:
    """Whether a file's name is that of a drive file, by the suffixes and patterns in `SUFFIXES` (such as `.mcap`, `.db3` and `*.mcap.zstd`)."""
    return any(path.match(suffix) if "*" in suffix else suffix in (path.suffix.lower(), path.name) for suffix in SUFFIXES)


def stem_of(path: Path) -> str:
    """Return a drive file's name without the suffixes of format and compression: `x` for `x.db3.zstd`."""
    return Path(path.stem).stem if path.suffix.lower() in _PACKED else path.stem


def readable(context: tc.Context, file: tc.SourceFile, log: tc.SourceFile | None) -> Path:
    """Return the path at which a drive file can be read: its own, or a scratch copy, decompressed or with its SQLite write-ahead log merged.

    `log` is the write-ahead log; None without one. Raises Damaged if the file can't be decompressed or the log can't be merged.
    """
    with file.path.open("rb") as opened:
        packed = opened.read(len(_ZSTD)) == _ZSTD
    if not packed and (log is None or not log.size_bytes):
        return file.path
    target = context.scratch() / f"{file.digest.removeprefix('sha256:')}{file.path.suffix}"
    if packed:
        _decompress(file.path, target)
    else:
        assert log is not None
        _join(file.path, log.path, target)
    return target


def _decompress(source: Path, target: Path) -> None:
    opener, ended = zstandard.ZstdDecompressor().decompressobj(), False
    try:
        with source.open("rb") as packed, target.open("wb") as unpacked:
            while piece := packed.read(_PIECE):
                while piece:
                    if ended:  # another frame
                        opener = zstandard.ZstdDecompressor().decompressobj()
                    unpacked.write(opener.decompress(piece))
                    ended, piece = opener.eof, opener.unused_data
    except zstandard.ZstdError as problem:
        raise Damaged(f"can't be decompressed (zstd): {' '.join(str(problem).split())}") from problem
    if not ended:
        raise Damaged("can't be decompressed (zstd): it was cut off")


def _join(source: Path, log: Path, target: Path) -> None:
    """Copy an SQLite database to `target` and merge its write-ahead log into the copy. Raises Damaged if SQLite can't merge the log."""
    shutil.copyfile(source, target)
    shutil.copyfile(log, f"{target}{WAL}")
    try:
        with closing(sqlite3.connect(target)) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    except sqlite3.Error as problem:
        raise Damaged(f"SQLite can't take in its write-ahead log: {problem}") from problem
    if busy or mode != "delete":
        raise Damaged("SQLite can't take in its write-ahead log")


_ROS1_BAG = b"#ROSBAG V2.0"


def read_log(path: Path, opener: Opener | None = None, progress: Callable[[int], None] | None = None) -> Log:
    """Read and verify a whole drive file (SQLite or MCAP) and return the index of its messages. Raises Damaged if the file is not valid.

    `opener` returns a channel's message callback or None; without `opener` only the index is made. `progress` is called with the bytes read so far.
    """
    with path.open("rb") as file:
        begins = file.read(len(sqlite_reader.MAGIC))
    if begins == sqlite_reader.MAGIC:
        return sqlite_reader.scan_sqlite(path, opener, progress)
    if begins.startswith(_ROS1_BAG):
        raise Damaged("is a ROS 1 bag, which is not read: convert it to MCAP (`rosbags-convert`, `mcap convert`)")
    if path.suffix.lower() == ".db3":
        raise Damaged(f"does not begin as an SQLite file: expected {sqlite_reader.MAGIC!r}, found {begins!r}")
    return scan_mcap(path, opener, progress)
