"""Validate drive files: scan each, quarantine the damaged ones with a reason, and drop duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import tracecore as tc
from tracecore_ingest.drive import Drive
from tracecore_ingest.drive_files import WAL, readable
from tracecore_ingest.errors import Damaged, quarantine_damaged
from tracecore_ingest.ros_bags import METADATA, Bag, join, read_bag
from tracecore_ingest.scan import scan_drive

__all__ = ["validate_drives"]

_REPORT_EVERY = 8 << 20  # bytes between two progress reports
_INDEXED = 4_000_000  # messages whose index is kept, 32 bytes each; further files are indexed again when their rows are written


def validate_drives(context: tc.Context, files: Sequence[tc.SourceFile], sensors: Sequence[str] | None, lidars: Sequence[str] | None) -> list[Drive]:
    """Scan drive files, join the files of each bag, and return the drives, sorted by name. `sensors`, `lidars`: topics to decode; None for all.

    Damaged files are quarantined; files with the same name and bytes count once. The metadata of bags are stored.
    """
    bags = list(_bags(context, [file for file in files if file.path.name == METADATA]))
    packed = {path: bag.packed for bag in bags for path in bag.files if bag.packed}
    wal_files = {file.path: file for file in files if file.path.name.endswith(WAL)}
    logs = [file for file in files if file.path.name != METADATA and file.path not in wal_files]
    total = sum(file.size_bytes for file in logs)
    done = 0
    kept = 0
    scanned: dict[Path, Drive] = {}
    for file in logs:
        note = f"checking {file.name}"
        try:
            if file.path in packed:
                raise Damaged(f"its bag's messages are compressed one by one ({packed[file.path]}), which is not read: convert it to plain MCAP")  # noqa: TRY301  # reported as any damage
            log = wal_files.pop(Path(f"{file.path}{WAL}"), None)
            path = readable(context, file, log)
            found = scanned[file.path] = scan_drive(file, sensors, _progress_reporter(context, done, total, note), lidars, path)
            found.write_ahead_log = log
            kept += found.messages
            if kept > _INDEXED:
                found.log = None
        except Damaged as problem:
            quarantine_damaged(context, file, problem)
        done += file.size_bytes
        context.progress(done, total, note)
    for file in wal_files.values():
        quarantine_damaged(context, file, Damaged("is the write-ahead log of a file that is not beside it"))
    joined = [(bag, drive) for bag in bags if (drive := _of_bag(context, bag, scanned)) is not None]
    named = list(_distinct_names(joined))
    for (bag, _), drive in zip(joined, named, strict=True):
        if not bag.source.part_of:
            context.adopt(bag.source, kind="external", name=f"{drive.name}/{METADATA}")
    drives = [*named, *scanned.values()]
    valid: dict[tuple[str, str], Drive] = {}
    for drive in drives:
        if valid.setdefault((drive.name, drive.source.digest), drive) is not drive:
            context.log.info("%s holds the same bytes as another file of drive %s: it is taken once", drive.source.name, drive.name)
    return sorted(valid.values(), key=lambda drive: drive.name)


def _bags(context: tc.Context, files: Sequence[tc.SourceFile]) -> Iterator[Bag]:
    for file in files:
        try:
            bag = read_bag(file)
        except Damaged as problem:
            quarantine_damaged(context, file, problem)
        else:
            if bag is not None:
                yield bag


def _of_bag(context: tc.Context, bag: Bag, scanned: dict[Path, Drive]) -> Drive | None:
    """Remove a bag's files from `scanned` and return them as one drive; None if none is valid, or if they conflict and are quarantined."""
    parts = [scanned.pop(path) for path in bag.files if path in scanned]
    if not parts:
        return None
    try:
        return join(bag, parts)
    except Damaged as problem:
        for part in parts:
            quarantine_damaged(context, part.source, problem)
        return None


def _distinct_names(bags: Sequence[tuple[Bag, Drive]]) -> Iterator[Drive]:
    """Yield each bag's drive. Drives of the same name (`bag.db3` in several folders) are named after the folder, unless by their metadata."""
    claimed = Counter(name for name, _ in {(drive.name, drive.source.digest) for _, drive in bags})
    for bag, drive in bags:
        folder = bag.source.path.parent.name
        if claimed[drive.name] > 1 and folder and not drive.metadata.get("drive", "").strip():
            yield replace(drive, name=folder, joined=tuple(replace(part, name=folder) for part in drive.joined))
        else:
            yield drive


def _progress_reporter(context: tc.Context, before: int, total: int, note: str) -> Callable[[int], None]:
    reported = 0

    def report(read: int) -> None:
        nonlocal reported
        if read - reported >= _REPORT_EVERY:
            reported = read
            context.progress(min(before + read, total), total, note)

    return report
