"""Read a drive file whole, whatever it is kept in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tracecore_ingest import sqlite_log
from tracecore_ingest.damage import Damaged
from tracecore_ingest.log import Log, Opener
from tracecore_ingest.scan import scan

__all__ = ["read_log"]

_ROS1_BAG = b"#ROSBAG V2.0"


def read_log(path: Path, opener: Opener | None = None, progress: Callable[[int], None] | None = None) -> Log:
    """Read a file whole: as SQLite where it begins as such, else as MCAP.

    Args:
        path: the file.
        opener: who wants to see which messages; None for an index alone.
        progress: told the bytes read so far.

    Raises:
        Damaged: the file is not sound; the message says where and why.
    """
    with path.open("rb") as file:
        begins = file.read(len(sqlite_log.MAGIC))
    if begins == sqlite_log.MAGIC:
        return sqlite_log.scan_sqlite(path, opener, progress)
    if begins.startswith(_ROS1_BAG):
        raise Damaged("is a ROS 1 bag, which is not read: convert it to MCAP (`rosbags-convert`, `mcap convert`)")
    if path.suffix.lower() == ".db3":
        raise Damaged(f"does not begin as an SQLite file: expected {sqlite_log.MAGIC!r}, found {begins!r}")
    return scan(path, opener, progress)
