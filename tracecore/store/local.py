"""The store in a local folder: `blobs/` by digest, `trees/` by digest with their manifests, `tables/` by name, `staging/` by run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.disk import clear_disk_errors
from tracecore.durable import fsync_file, write_durably
from tracecore.errors import UsageProblem
from tracecore.locks import hold_table
from tracecore.store import tables
from tracecore.store.base import StagedTable, Stored, StoreFailure
from tracecore.store.files import clone_or_copy, fsync_tree, make_folder, remove_tree, rename_durably
from tracecore.store.manifest import directory_manifest, scan_directory
from tracecore.workspace import ENV_STORE, Workspace
from tracecore_schemas.canonical import digest_bytes, digest_file, hex_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["LocalStore"]

_ADOPTED = ".adopted"


class LocalStore:
    """A `Store` in the workspace's own folder.

    Args:
        workspace: whose `store/` it is.

    Raises:
        UsageProblem: `TRACECORE_STORE_URL` names another place.
    """

    def __init__(self, workspace: Workspace) -> None:
        elsewhere = os.environ.get(ENV_STORE)
        if elsewhere:
            # Better refused than ignored: whoever set it believes that the bytes go there.
            raise UsageProblem(f"{ENV_STORE} is set to '{elsewhere}', but artifacts can only be kept inside the workspace so far: unset it.")
        self.root = workspace.store
        self._staging = workspace.staging
        self._locks = workspace.locks
        self._workspace = workspace.root

    # --- staging

    def staging(self, run_id: str) -> Path:
        """Make and give a run's staging folder."""
        folder = self._staging / run_id
        with clear_disk_errors(self._workspace):
            make_folder(folder)
        return folder

    def discard(self, run_id: str) -> None:
        """Remove what a run left in staging, and data that it moved to a table but never committed."""
        remove_tree(self._staging / run_id)
        for folder in tables.uncommitted(self.root, run_id):
            remove_tree(folder)

    def staged_runs(self) -> list[str]:
        """Ids of the runs that have something in staging, or data in a table that no commit names."""
        staged = {path.name for path in self._staging.iterdir()} if self._staging.is_dir() else set()
        return sorted(staged | {folder.name for folder in tables.uncommitted(self.root)})

    # --- files and directories

    def _blob(self, digest: str) -> tuple[str, Path]:
        digits = hex_of(digest)
        location = f"blobs/{digits[:2]}/{digits}"
        return location, self.root / location

    def _tree(self, digest: str) -> tuple[str, Path]:
        digits = hex_of(digest)
        location = f"trees/{digits[:2]}/{digits}"
        return location, self.root / location

    def put_file(self, source: Path, *, run_id: str, move: bool = False) -> Stored:
        """Keep a file under its digest; one that is there already, whole, is kept as it is."""
        with clear_disk_errors(self._workspace):
            if move:
                fsync_file(source)
                digest, size = digest_file(source), source.stat().st_size
                staged = source
            else:
                folder = self.staging(run_id) / _ADOPTED
                folder.mkdir(exist_ok=True)
                staged = folder / f"{len(list(folder.iterdir()))}"
                try:
                    digest, size = clone_or_copy(source, staged)
                except BaseException:
                    staged.unlink(missing_ok=True)
                    raise
            location, target = self._blob(digest)
            # A blob that rotted on disk is replaced: the same digest promises the same bytes.
            if target.is_file() and digest_file(target) == digest:
                staged.unlink()
            else:
                rename_durably(staged, target)
        return Stored(digest, Media.FILE, location, size)

    def put_directory(self, source: Path, *, run_id: str) -> Stored:
        """Keep a staged directory under the digest of its manifest, which lies beside it."""
        files = scan_directory(source)
        if not files:
            raise UsageProblem(f"The directory '{source.name}' is empty: nothing was written to it.")
        manifest = directory_manifest(files)
        digest = digest_bytes(manifest)
        location, target = self._tree(digest)
        with clear_disk_errors(self._workspace):
            fsync_tree(source)
            if target.is_dir() and scan_directory(target) == files:
                remove_tree(source)
            else:
                if target.exists():
                    rename_durably(target, self.staging(run_id) / f".damaged-{target.name}")
                _rename_or_agree(source, target, files)
            beside = target.with_name(f"{target.name}.manifest.json")
            if not beside.is_file() or beside.read_bytes() != manifest:
                write_durably(beside, manifest)
        return Stored(digest, Media.DIRECTORY, location, sum(size for _, size, _ in files))

    # --- tables

    def stage_table(self, data: pa.Table | pa.RecordBatchReader, *, run_id: str, port: str) -> StagedTable:
        """Write a table's rows to staging."""
        from tracecore.store.parquet import write_table

        folder = self.staging(run_id) / f"{port}.table"
        if folder.exists():
            remove_tree(folder)
        with clear_disk_errors(self._workspace):
            return write_table(data, folder)

    def put_table(self, staged: StagedTable, *, kind: str, name: str, run_id: str) -> Stored:
        """Make a staged table the next version of a name's Delta table."""
        location = tables.table_folder(kind, name)
        table = self.root / location
        with clear_disk_errors(self._workspace), hold_table(self._locks, kind, name):
            make_folder(table)
            return tables.commit_table(staged, table, location, run_id)

    # --- reading

    def _place(self, artifact: Artifact) -> Path:
        if artifact.location is None or artifact.media is Media.NONE:
            raise UsageProblem(f"The bytes of {artifact.ref} are not kept in this store: only its digest is recorded.")
        place = (self.root / artifact.location).resolve()
        # The location comes from the record, which may come from elsewhere: it must not lead out of the store.
        if not place.is_relative_to(self.root.resolve()):
            raise UsageProblem(f"The location '{artifact.location}' of {artifact.ref} leads out of the store.")
        return self.root / artifact.location

    def exists(self, artifact: Artifact) -> bool:
        """Say whether all files of an artifact are there with their recorded sizes."""
        try:
            place = self._place(artifact)
        except UsageProblem:
            return False
        if artifact.media is Media.DELTA:
            return tables.table_exists(artifact, place)
        if artifact.media is Media.DIRECTORY:
            size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) if place.is_dir() else -1
            return size == (size if artifact.size_bytes is None else artifact.size_bytes) and size >= 0
        return place.is_file() and artifact.size_bytes in {None, place.stat().st_size}

    def open(self, artifact: Artifact) -> Path | ds.Dataset:
        """Give a path, or a dataset at the recorded version.

        Raises:
            UsageProblem: the bytes are not kept here, or are missing; the file is named.
        """
        place = self._place(artifact)
        if artifact.media is Media.DELTA:
            return tables.open_table(artifact, place)
        if not (place.is_dir() if artifact.media is Media.DIRECTORY else place.is_file()):
            raise UsageProblem(f"{artifact.ref} can't be read: '{artifact.location}' is missing from the store.")
        return place

    def files(self, artifact: Artifact) -> Sequence[tuple[str, Path]]:
        """Every file that an artifact stands on, the manifest of a directory too."""
        place = self._place(artifact)
        if artifact.media is Media.DELTA:
            return tables.table_files(artifact, place)
        if artifact.media is Media.DIRECTORY:
            inside = [(f"{artifact.location}/{path.relative_to(place).as_posix()}", path) for path in sorted(place.rglob("*")) if path.is_file()]
            return [*inside, (f"{artifact.location}.manifest.json", place.with_name(f"{place.name}.manifest.json"))]
        return [(str(artifact.location), place)]

    # --- verifying

    def verify(self, artifact: Artifact) -> list[StoreFailure]:
        """Recompute an artifact's digest from its bytes; every file that differs is named."""
        place = self._place(artifact)
        if artifact.media is Media.DELTA:
            return tables.verify_table(artifact, place)
        if artifact.media is Media.DIRECTORY:
            return _verify_directory(artifact, place)
        where = str(artifact.location)
        if not place.is_file():
            return [StoreFailure(where, artifact.digest, "missing")]
        digest = digest_file(place)
        return [] if digest == artifact.digest else [StoreFailure(where, artifact.digest, digest)]


def _rename_or_agree(source: Path, target: Path, files: list[tuple[str, int, str]]) -> None:
    """Move a directory into place; another process may have put the same one there just now."""
    try:
        rename_durably(source, target)
    except OSError:
        if not target.is_dir() or scan_directory(target) != files:
            raise
        remove_tree(source)


def _verify_directory(artifact: Artifact, place: Path) -> list[StoreFailure]:
    """Compare a directory with its digest; the manifest beside it, if it is the recorded one, says which file differs."""
    import json

    where = str(artifact.location)
    if not place.is_dir():
        return [StoreFailure(where, artifact.digest, "missing")]
    try:
        found = {path: (size, digest) for path, size, digest in scan_directory(place)}
    except UsageProblem as error:
        return [StoreFailure(where, "ordinary files only", str(error))]
    digest = digest_bytes(directory_manifest((path, *facts) for path, facts in found.items()))
    failures: list[StoreFailure] = []
    beside = place.with_name(f"{place.name}.manifest.json")
    manifest = beside.read_bytes() if beside.is_file() else None
    if manifest is None or digest_bytes(manifest) != artifact.digest:
        shown = "missing" if manifest is None else digest_bytes(manifest)
        failures.append(StoreFailure(f"{where}.manifest.json", artifact.digest, shown))
    else:
        expected = {each["path"]: (each["size"], each["sha256"]) for each in json.loads(manifest)["files"]}
        failures += [
            StoreFailure(
                f"{where}/{path}",
                f"sha256:{expected[path][1]}" if path in expected else "no such file",
                f"sha256:{found[path][1]}" if path in found else "missing",
            )
            for path in sorted(expected.keys() | found.keys())
            if expected.get(path) != found.get(path)
        ]
    if digest != artifact.digest and all(failure.what.endswith(".manifest.json") for failure in failures):
        failures.append(StoreFailure(where, artifact.digest, digest))
    return failures
