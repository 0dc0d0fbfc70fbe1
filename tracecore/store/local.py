"""The store in a local folder: `blobs/` and `trees/` by digest, `tables/` by name, `staging/` by run."""
# ruff: noqa: D102  # the docstrings of `Store` apply

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.files import fsync_file, fsync_tree, fsync_upward, make_folder, remove_tree, rename_durably, write_durably
from tracecore.store.base_store import BaseStore, described_directory, manifest_beside
from tracecore.store.delta_log import LOG, commit_table
from tracecore.store.delta_tables import open_table, uncommitted
from tracecore.store.erasure import erase_files, inventory
from tracecore.store.ledger_binding import MARKER
from tracecore.store.manifest import scan_directory
from tracecore.store.place import LocalPlace, inside
from tracecore.store.protocol import StagedTable, Stored
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import hold_table
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import blob_location, digest_bytes, digest_file, table_folder, tree_location
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["LocalStore"]


class LocalStore(BaseStore):
    """The `Store` in a workspace's folder."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = LocalPlace(workspace.store)
        super().__init__(self._folder, workspace)
        self.root = workspace.store
        self._committed: set[Path] = set()

    # --- staging

    def discard(self, run_id: str) -> None:
        """Delete a run's staging folder, and the data files that it moved to tables but did not commit."""
        remove_tree(self._staging / run_id)
        for folder in self._uncommitted(run_id):
            remove_tree(folder)
        self._committed = {folder for folder in self._committed if folder.name != run_id}

    def staged_runs(self) -> list[str]:
        """Return the ids of runs with files in staging or uncommitted data in a table, sorted."""
        staged = {path.name for path in self._staging.iterdir()} if self._staging.is_dir() else set()
        return sorted(staged | {folder.name for folder in self._uncommitted("*")})

    def _uncommitted(self, run_id: str) -> list[Path]:
        """Return the folders of data files that a run (`*` for any run) moved to tables but did not commit, as after a crash."""
        found: dict[Path, set[str]] = {}
        for folder in self.root.glob(f"tables/*/*/{run_id}"):
            # This store's own commits need no search in the growing log.
            if folder.name != LOG and folder not in self._committed and folder.is_dir():
                found.setdefault(folder.parent, set()).add(folder.name)
        left = {table: uncommitted(self.place, table.relative_to(self.root).as_posix(), runs) for table, runs in found.items()}
        return sorted(table / run for table, runs in left.items() for run in runs)

    # --- files and directories

    def put_file(self, source: Path, *, run_id: str, move: bool = False) -> Stored:
        with clear_disk_errors(self._workspace):
            staged, digest, size = self._staged_file(source, run_id, move=move)
            if move:
                fsync_file(staged)
            location = blob_location(digest)
            target = self.root / location
            # A blob damaged on disk is replaced.
            if target.is_file() and digest_file(target) == digest:
                staged.unlink()
            else:
                rename_durably(staged, target)
            fsync_upward(target.parent, self.root)
        return Stored(digest, Media.FILE, location, size)

    def put_directory(self, source: Path, *, run_id: str) -> Stored:
        files, manifest = described_directory(source)
        digest = digest_bytes(manifest)
        location = tree_location(digest)
        target = self.root / location
        with clear_disk_errors(self._workspace):
            # The manifest comes first, so that a tree is never without it.
            beside = self.root / manifest_beside(location)
            make_folder(beside.parent)
            if not beside.is_file() or beside.read_bytes() != manifest:
                write_durably(beside, manifest)
            fsync_tree(source)
            if target.is_dir() and scan_directory(target) == files:
                remove_tree(source)
            else:
                if target.exists():
                    rename_durably(target, self.staging(run_id) / f".damaged-{target.name}")
                _rename_or_agree(source, target, files)
            fsync_upward(target.parent, self.root)
        return Stored(digest, Media.DIRECTORY, location, sum(size for _, size, _ in files))

    def put_import(self, folder: Path, location: str) -> None:
        """Move a staged folder to `location` in the store by one rename, replacing any folder that is there."""
        target = self.root / location
        with clear_disk_errors(self._workspace):
            fsync_tree(folder)
            remove_tree(target)
            rename_durably(folder, target)

    # --- tables

    def put_table(self, staged: StagedTable, *, kind: str, name: str, run_id: str, after: DeltaVersion | None = None) -> Stored:
        location = table_folder(kind, name)
        with clear_disk_errors(self._workspace), hold_table(self._locks, kind, name):
            make_folder(self.root / location / LOG)
            stored = commit_table(staged, _LocalTables(self._folder, self.staging(run_id)), location, run_id, after)
        self._committed.add(self.root / location / run_id)
        return stored

    # --- reading

    def open(self, artifact: Artifact) -> Path | ds.Dataset:
        place = self.root / self._location(artifact)
        if artifact.media is Media.DELTA:
            return open_table(artifact, self.place)
        if not (place.is_dir() if artifact.media is Media.DIRECTORY else place.is_file()):
            raise self._missing(artifact)
        return place

    def fetched(self, artifact: Artifact, name: str) -> Path:  # noqa: ARG002  # a bucket's needs it
        return self.root / name

    # --- erasing

    def inventory(self) -> Iterator[tuple[str, int]]:
        return (each for each in inventory(self.root, self._staging) if each[0] != MARKER)

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / inside(path)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def erase(self, paths: Collection[str]) -> int:
        with clear_disk_errors(self._workspace):
            return erase_files(self.root, paths)

    def rewrite(self, path: str, data: bytes) -> None:
        with clear_disk_errors(self._workspace):
            write_durably(self.root / inside(path), data)


@dataclass
class _LocalTables:
    """The `TableWriter` of a folder: data is moved by one rename and fsynced before the commit."""

    place: LocalPlace
    _staging: Path

    def bring(self, staged: StagedTable, folder: str) -> None:
        rename_durably(staged.folder, self.place.root / folder)

    def withdraw(self, folder: str) -> None:
        """Delete a run's folder of data files in a table, unless a commit names it (an interrupt may come just after the commit)."""
        table, _, run_id = folder.rpartition("/")
        if uncommitted(self.place, table, [run_id]):
            remove_tree(self.place.root / folder)

    def commit(self, path: str, data: bytes) -> bool:
        """Create a Delta commit file unless it exists, by hard-linking an fsynced file, and return whether this call created it.

        The fsync of the folders also makes durable the earlier commits of runs that were killed before their own fsync.
        """
        whole = self._staging / ".commit"
        whole.write_bytes(data)
        fsync_file(whole)
        target = self.place.root / path
        try:
            target.hardlink_to(whole)
        except FileExistsError:
            return False
        finally:
            whole.unlink()
        fsync_upward(target.parent, self.place.root)
        return True


def _rename_or_agree(source: Path, target: Path, files: list[tuple[str, int, str]]) -> None:
    """Move a directory to `target`; if another process has put an identical one there, delete `source` instead."""
    try:
        rename_durably(source, target)
    except OSError:
        if not target.is_dir() or scan_directory(target) != files:
            raise
        remove_tree(source)
