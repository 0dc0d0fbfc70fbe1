"""Erasure of stored files. An `ErasedFile` is a tombstone's entry for one file, by which verification distinguishes erasure from damage."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from tracecore.files import fsync_folder
from tracecore.store.place import inside
from tracecore.store.protocol import ErasedFile

__all__ = ["erase_files", "gone_by_path", "inventory", "without_statistics"]

_KEPT_STATISTICS = "numRecords"


def gone_by_path(gone: Sequence[ErasedFile]) -> dict[str, ErasedFile]:
    """Return erased files by path; for a path with several erasures, the entry of the last one, with the digest that the first one recorded."""
    found: dict[str, ErasedFile] = {}
    for each in gone:
        found[each.path] = replace(each, digest=found[each.path].digest) if each.path in found else each
    return found


def erase_files(root: Path, paths: Collection[str]) -> int:
    """Delete files of a store, and folders that become empty, durably; return the number of bytes freed. Missing files are ignored.

    Disk blocks are not overwritten: encrypt the disk if that matters.
    """
    freed = 0
    folders: set[Path] = set()
    for path in sorted(paths):
        place = root / inside(path)
        try:
            size = place.lstat().st_size
            place.unlink()
        except (FileNotFoundError, NotADirectoryError):
            continue
        freed += size
        folders.add(place.parent)
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        _sync_and_trim(folder, root)
    return freed


def _sync_and_trim(folder: Path, root: Path) -> None:
    """Flush the deletions in a folder to disk; delete it and its parents while they are empty, except the store's top folders."""
    while folder.is_dir():
        fsync_folder(folder)
        if len(folder.relative_to(root).parts) < 2 or any(folder.iterdir()):
            return
        folder.rmdir()
        folder = folder.parent


def inventory(root: Path, staging: Path) -> Iterator[tuple[str, int]]:
    """Yield (path relative to the store's root, size in bytes) of every file of a store outside its staging folder, in a fixed order."""
    for place, folders, files in os.walk(root):
        here = Path(place)
        folders[:] = sorted(name for name in folders if here / name != staging)
        for name in sorted(files):
            yield (here / name).relative_to(root).as_posix(), (here / name).lstat().st_size


def without_statistics(commit: bytes, paths: Collection[str], partitions: Collection[tuple[str, str]] = ()) -> bytes:
    """Return a Delta commit, one JSON action per line, with the statistics of some data files reduced to the number of rows.

    The files are those at `paths`, relative to the table, and all that the commit adds or removes in `partitions`, given as (column, value).
    """
    wanted, parts = set(paths), set(partitions)
    return b"".join(_line_without_statistics(line, wanted, parts) for line in commit.splitlines(keepends=True))


def _line_without_statistics(line: bytes, paths: Collection[str], partitions: set[tuple[str, str]]) -> bytes:
    """Return one line of a Delta commit, its statistics reduced to the row count if its data file is in `paths` or `partitions`."""
    if not any(name in line for name in (b'"stats"', b'"tags"', b'"stats_parsed"')):
        return line
    action: Mapping[str, dict[str, object]] = json.loads(line)
    changed = False
    for members in action.values():
        if not isinstance(members, dict) or not (unquote(str(members.get("path", ""))) in paths or partitions & _partition_values(members)):
            continue
        bare = _row_count_only(members.get("stats"))
        changed |= members.get("stats") != bare or members.keys() & {"tags", "stats_parsed"} != set()
        members.pop("tags", None)
        members.pop("stats_parsed", None)
        if "stats" in members:
            members["stats"] = bare
    if not changed:
        return line
    return json.dumps(action, separators=(",", ":"), ensure_ascii=False).encode() + (b"\n" if line.endswith(b"\n") else b"")


def _partition_values(members: Mapping[str, object]) -> set[tuple[str, object]]:
    values = members.get("partitionValues")
    return set(values.items()) if isinstance(values, dict) else set()


def _row_count_only(stats: object) -> str | None:
    """Return a data file's statistics (JSON) with only the number of rows; None if `stats` is not a text."""
    if not isinstance(stats, str):
        return None
    found = json.loads(stats)
    return json.dumps({_KEPT_STATISTICS: found[_KEPT_STATISTICS]} if _KEPT_STATISTICS in found else {}, separators=(",", ":"))
