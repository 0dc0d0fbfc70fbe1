"""Cleanup after an erasure: staging, scratch, pictures, labeling campaigns, Dagster's files, and other copies of withdrawn files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from tracecore.errors import TracecoreError
from tracecore.files import fsync_folder
from tracecore.store import Store
from tracecore.system.failures import clear_disk_errors, unless_missing
from tracecore.system.locks import try_run
from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.manifest import TREE
from tracecore_lineage.bundle.reader import open_bundle
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.stored_artifacts import newest_of_tables, stored_artifacts, stored_sources
from tracecore_lineage.model.erasure import Erasure
from tracecore_lineage.retention.redaction import empty_wal, is_sqlite, scrub_pictures, spellings
from tracecore_schemas.canonical import digest_file
from tracecore_schemas.run import Artifact

__all__ = ["discard_staged", "files_below", "lies_in", "named_files", "naming", "orphans", "remove_copies", "remove_folder", "sweep"]

_KEPT = frozenset({"record.db", "record.db-wal", "record.db-shm", "workspace.json", "keys", "locks"})
_ZIP = b"PK\x03\x04"
_NAMED_AT = 30
"""Offset of the first entry's name in a zip (PKWARE APPNOTE.TXT 4.3.7)."""


def remove_copies(root: Path, erasure: Erasure) -> None:
    """Delete files below a workspace folder that have the digest of an erased file, and exported bundles that contain such a file.

    In the store, only files with a digest in `erasure.withdrawn` are deleted here; `carry_out` deletes the other erased files by path.
    """
    withdrawn = frozenset(erasure.withdrawn)
    erased = withdrawn | {gone.digest for version in erasure.versions for gone in version.files}
    for path in sorted(files_below(root)):
        inside = path.relative_to(root).parts
        if inside[0] in _KEPT:
            continue
        stored = inside[0] == "store"
        if digest_file(path) in (withdrawn if stored else erased) or (not stored and _packed(path, erased)):
            path.unlink()
            fsync_folder(path.parent)


def files_below(root: Path) -> Iterator[Path]:
    """Yield the path of every regular file below a folder, without following links; none if the folder is missing."""
    for folder, _, names in os.walk(root, onerror=unless_missing):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _packed(path: Path, erased: Collection[str]) -> bool:
    """Whether a file is an exported bundle that contains a file with a digest in `erased`; True for a bundle that can't be read."""
    with path.open("rb") as file:
        begin = file.read(_NAMED_AT + len(TREE))
    if not begin.startswith(_ZIP) or begin[_NAMED_AT:] != TREE.encode():
        return False
    try:
        with open_bundle(path) as bundle:
            return any(f"sha256:{entry.sha256}" in erased for entry in bundle.manifest.entries)
    except NotABundle:
        return True


def sweep(recorder: RecordWriter, store: Store, erasure: Erasure) -> None:
    """Delete copies of erased data: staged files; for withdrawn drives also scratch, rendered images, campaigns, unrecorded files, Dagster's data.

    The call can be repeated after a crash. No run may be live.
    """
    root = recorder.workspace.root
    with clear_disk_errors(root):
        discard_staged(recorder, store)
        if erasure.drives or erasure.withdrawn:
            for folder in ("scratch", "looks"):
                remove_folder(root / folder)
            _campaigns(root / "campaigns", erasure.drives)
            _dagster(recorder.workspace.dagster, erasure)
            store.erase([path for path, _ in orphans(recorder, store)])
            remove_copies(root, erasure)
    if not recorder.database.dialect.shared:
        empty_wal(root / "record.db")


def discard_staged(recorder: RecordWriter, store: Store, live: Collection[str] = ()) -> list[str]:
    """Delete the staging folders of runs that are not in `live` and whose run lock is free (no live process); return these runs' ids."""
    removed: list[str] = []
    for run_id in store.staged_runs():
        with try_run(recorder.workspace.locks, run_id) as dead:
            if dead and run_id not in live:
                store.discard(run_id)
                removed.append(run_id)
    return removed


def orphans(recorder: RecordWriter, store: Store) -> list[tuple[str, int]]:
    """Return (path relative to the store, size in bytes) of each file in the store that no recorded event names, such as one left by a crash."""
    with recorder.database.read() as connection:
        artifacts = [*stored_artifacts(connection), *stored_sources(connection)]
    named, unreadable = named_files(store, artifacts)
    kept = {str(artifact.location) for artifact, _ in unreadable}  # their files are not known, so nothing below their location is removed
    return [(path, size) for path, size in store.inventory() if path not in named and not lies_in(path, kept)]


def named_files(store: Store, artifacts: Sequence[Artifact]) -> tuple[set[str], list[tuple[Artifact, str]]]:
    """Return (paths of all files of these versions and of their Delta logs, (version, reason) of each version that can't be read)."""
    named: set[str] = set()
    unreadable: list[tuple[Artifact, str]] = []
    for artifact in artifacts:
        try:
            named.update(store.names(artifact, log=False))
        except (TracecoreError, OSError, ValueError, KeyError) as error:
            unreadable.append((artifact, str(error)))
    for artifact in newest_of_tables(artifacts):
        with contextlib.suppress(TracecoreError, OSError, ValueError, KeyError):  # reported with each version above
            named.update(store.log(artifact))
    return named, unreadable


def lies_in(path: str, places: Collection[str]) -> bool:
    """Whether `path` is one of the paths in `places` or below one of them."""
    return path in places or any(str(folder) in places for folder in PurePosixPath(path).parents)


def remove_folder(folder: Path) -> None:
    """Delete a folder, if it exists, and fsync its parent."""
    if folder.is_dir():
        shutil.rmtree(folder)
        fsync_folder(folder.parent)


def naming(drives: Collection[str]) -> re.Pattern[bytes]:
    """Return a pattern that matches any of the drives' names as a whole word, plain or percent-encoded."""
    spelled = sorted({name for drive in drives for name in spellings(drive)}, key=len, reverse=True)
    return re.compile(rb"(?<![\w.-])(?:" + b"|".join(re.escape(name).encode() for name in spelled) + rb")(?![\w-])")


def _campaigns(folder: Path, drives: Collection[str]) -> None:
    """Delete each labeling campaign's database (`*.db` in `folder`) that names one of the drives: its append-only log can't be edited by row."""
    if not folder.is_dir() or not drives:
        return
    named = naming(drives)
    for path in sorted(folder.glob("*.db")):
        logs = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm")]
        if any(named.search(each.read_bytes()) for each in (path, *logs) if each.is_file()):
            for each in (path, *logs):
                each.unlink(missing_ok=True)
    fsync_folder(folder)


def _dagster(home: Path, erasure: Erasure) -> None:
    """Delete Dagster's storage folder (logs and values of steps), and remove every embedded picture from the SQLite files below `home`."""
    remove_folder(home / "storage")
    for path in sorted(files_below(home)):
        if is_sqlite(path):
            scrub_pictures(path, f"erased on {erasure.day}, for consent was withdrawn")
