"""The implementation that all stores share: staging, manifests of directories, and verification."""
# ruff: noqa: D102  # the docstrings of `Store` apply

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore.files import clone_or_copy, make_folder, remove_tree
from tracecore.store.delta_tables import data_names, log_names, table_exists, table_parts, verify_log, verify_table
from tracecore.store.erasure import gone_by_path
from tracecore.store.manifest import directory_manifest, scan_directory
from tracecore.store.place import Place, leads_out
from tracecore.store.protocol import ErasedFile, Part, StagedTable, StoreFailure
from tracecore.system.failures import clear_disk_errors
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import digest_bytes, digest_file, hex_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BaseStore",
    "described_directory",
    "directory_members",
    "manifest_beside",
    "verify_directory",
]

_ADOPTED = ".adopted"


def _staged_copy(staging: Path, source: Path) -> tuple[Path, str, int]:
    """Copy a file to staging and return (path, digest, size in bytes) of the copy; the source may change meanwhile."""
    folder = staging / _ADOPTED
    folder.mkdir(exist_ok=True)
    staged = folder / f"{len(list(folder.iterdir()))}"
    try:
        digest, size = clone_or_copy(source, staged)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return staged, digest, size


def _unshare(file: Path) -> None:
    """Replace a staged file that has other hard links by a copy, so that writes through those links do not change it."""
    if file.lstat().st_nlink > 1:
        copy = file.with_name(f".{uuid.uuid4().hex}")
        clone_or_copy(file, copy)
        copy.replace(file)


def described_directory(source: Path) -> tuple[list[tuple[str, int, str]], bytes]:
    """Return (path, size, SHA-256 hex) of a staged directory's files, and the manifest that lists them; raises UsageError if there are none."""
    for place, _, names in os.walk(source):
        for each in (Path(place) / name for name in names):
            if each.is_file() and not each.is_symlink():
                _unshare(each)
    files = scan_directory(source)
    if not files:
        raise UsageError(f"The directory '{source.name}' is empty: nothing was written to it.")
    return files, directory_manifest(files)


def manifest_beside(location: str) -> str:
    """Return the path of the manifest of a stored directory: `<location>.manifest.json`, in the same folder as the directory."""
    return f"{location}.manifest.json"


def _read_manifest(place: Place, path: str) -> bytes | None:
    """Return the stored manifest (list of files) of a directory by the manifest's path, or None if it is missing."""
    try:
        return place.read(path)
    except FileNotFoundError:
        return None


def directory_members(artifact: Artifact, place: Place) -> list[tuple[str, int, str]]:
    """Return (path, size, SHA-256 hex) of a stored directory's files, from its manifest; raises UsageError if that is missing or changed."""
    beside = manifest_beside(str(artifact.location))
    manifest = _read_manifest(place, beside)
    if manifest is None or digest_bytes(manifest) != artifact.digest:
        raise UsageError(f"The members of {artifact.ref} are not known: its manifest '{beside}' is missing or another: run 'tracecore verify'.")
    return [(each["path"], each["size"], each["sha256"]) for each in json.loads(manifest)["files"]]


def verify_directory(artifact: Artifact, place: Place, gone: Mapping[str, ErasedFile]) -> list[StoreFailure]:
    """Return a failure for each difference of a stored directory from its recorded digest; an intact manifest shows which files differ.

    Erased files enter the digest with their recorded size and digest, so that other changes are still found.
    """
    where = str(artifact.location)
    erased = {path.removeprefix(f"{where}/"): each for path, each in gone.items() if path.startswith(f"{where}/")}
    if not place.is_folder(where) and not erased:
        return [StoreFailure(where, artifact.digest, "missing")]
    try:
        found = {path: (size, digest) for path, size, digest in place.scan(where)}
    except UsageError as error:
        return [StoreFailure(where, "ordinary files only", str(error))]
    back = [StoreFailure(f"{where}/{path}", "nothing: it was erased", "a file") for path in sorted(erased.keys() & found.keys())]
    found |= {path: (each.size_bytes, hex_of(each.digest)) for path, each in erased.items()}
    digest = digest_bytes(directory_manifest((path, *facts) for path, facts in found.items()))
    failures, excused = list(back), set(back)
    beside = manifest_beside(where)
    manifest = _read_manifest(place, beside)
    if manifest is None or digest_bytes(manifest) != artifact.digest:
        shown = "missing" if manifest is None else digest_bytes(manifest)
        failures.append(StoreFailure(beside, artifact.digest, shown))
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
    if digest != artifact.digest and all(failure.what == beside or failure in excused for failure in failures):
        failures.append(StoreFailure(where, artifact.digest, digest))
    return failures


class BaseStore:
    """The part of a `Store` that is independent of its place: reading, verification and staging."""

    def __init__(self, place: Place, workspace: Workspace) -> None:
        self.place = place
        self._staging = workspace.staging
        self._locks = workspace.locks
        self._workspace = workspace.root

    def staging(self, run_id: str) -> Path:
        folder = self._staging / run_id
        with clear_disk_errors(self._workspace):
            make_folder(folder)
        return folder

    def stage_table(self, data: pa.Table | pa.RecordBatchReader, *, run_id: str, port: str) -> StagedTable:
        from tracecore.store.parquet import write_table

        with clear_disk_errors(self._workspace):
            folder = self.staging(run_id) / f"{port}.table"
            remove_tree(folder)
            return write_table(data, folder)

    def _location(self, artifact: Artifact) -> str:
        """Return an artifact's path in the store; raises UsageError if its bytes are not stored or the path leads out of the store."""
        if artifact.location is None or artifact.media is Media.NONE:
            raise UsageError(f"The bytes of {artifact.ref} are not kept in this store: only its digest is recorded.")
        # A location from an imported record must not lead out of the store.
        if leads_out(artifact.location) or not self.place.contains("", artifact.location):
            raise UsageError(f"The location '{artifact.location}' of {artifact.ref} leads out of the store.")
        return artifact.location

    def exists(self, artifact: Artifact) -> bool:
        try:
            location = self._location(artifact)
        except UsageError:
            return False
        if artifact.media is Media.DELTA:
            return table_exists(artifact, self.place)
        if artifact.media is Media.DIRECTORY:
            size = sum(size for _, size in self.place.listed(location)) if self.place.is_folder(location) else None
        else:
            size = self.place.size(location)
        return size is not None and artifact.size_bytes in {None, size}

    def log(self, artifact: Artifact) -> Sequence[str]:
        self._location(artifact)
        return log_names(artifact, self.place)

    def names(self, artifact: Artifact, *, log: bool = True) -> Sequence[str]:
        location = self._location(artifact)
        if artifact.media is Media.DELTA:
            return [*(log_names(artifact, self.place) if log else ()), *data_names(artifact, self.place)]
        if artifact.media is Media.DIRECTORY:
            return [*(path for path, _ in self.place.listed(location)), manifest_beside(location)]
        return [location]

    def parts(self, artifact: Artifact) -> list[Part]:
        location = self._location(artifact)
        if artifact.media is Media.DELTA:
            return table_parts(artifact, self.place)
        if artifact.media is Media.DIRECTORY:
            return [Part(f"{location}/{path}", f"sha256:{digits}", size) for path, size, digits in directory_members(artifact, self.place)]
        return [Part(location, artifact.digest, artifact.size_bytes or 0)]

    def _staged_file(self, source: Path, run_id: str, *, move: bool) -> tuple[Path, str, int]:
        """Return (path in staging, digest, size in bytes) of a file to store: the source itself if `move`, else a copy of it."""
        if not move:
            return _staged_copy(self.staging(run_id), source)
        _unshare(source)
        return source, digest_file(source), source.stat().st_size

    def _missing(self, artifact: Artifact) -> UsageError:
        """Return the error for an artifact whose bytes are missing from the store."""
        return UsageError(f"{artifact.ref} can't be read: '{artifact.location}' is missing from the store.")

    def verify_log(
        self, location: str, versions: Collection[DeltaVersion], gone: Sequence[ErasedFile] = ()
    ) -> Mapping[DeltaVersion, list[StoreFailure]]:
        return verify_log(self.place, location, versions, gone_by_path(gone))

    def verify(self, artifact: Artifact, gone: Sequence[ErasedFile] = (), *, log: Sequence[StoreFailure] | None = None) -> list[StoreFailure]:
        where = self._location(artifact)
        known = gone_by_path(gone)
        if artifact.media is Media.DELTA:
            return verify_table(artifact, self.place, known, log)
        if artifact.media is Media.DIRECTORY:
            return verify_directory(artifact, self.place, known)
        found = self.place.fingerprint(where)
        if where in known:
            return [] if found is None else [StoreFailure(where, "nothing: it was erased", "a file")]
        if found is None:
            return [StoreFailure(where, artifact.digest, "missing")]
        return [] if found[0] == artifact.digest else [StoreFailure(where, artifact.digest, found[0])]
