"""Inventory of stored data: which files of which versions hold bytes, rows or pictures of drives."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from tracecore.errors import TracecoreError
from tracecore.store import Part, Store
from tracecore.store.protocol import ErasedFile
from tracecore_lineage.catalog.tombstones import Tombstones
from tracecore_lineage.model.erasure import Erased
from tracecore_lineage.retention.cleanup import naming
from tracecore_lineage.retention.erasures import rewritten_commits
from tracecore_lineage.retention.redaction import without_drives
from tracecore_lineage.retention.subjects import Subject
from tracecore_schemas.arrow_tables import PARTITION
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import ArtifactKind, Media, kind_of
from tracecore_schemas.run import Artifact

__all__ = ["Inventory", "read_inventory"]

_EMBEDDED = re.compile(rb"data:[\w.+-]+/[\w.+-]+[;,]|[A-Za-z0-9+/]{512}|[0-9a-fA-F]{512}")
"""A data URI, or base64 or hex digits long enough to be a picture."""
_DRAWN = re.compile(rb"^\s*(<\?xml[^>]*>\s*)?<(svg|!doctype html|html)", re.IGNORECASE)
_MOST_TEXT = 256 << 20


@dataclass(frozen=True, slots=True)
class _Holding:
    """A stored version with those of its files that are not erased."""

    artifact: Artifact
    parts: tuple[Part, ...]

    @property
    def place(self) -> tuple[str, str, int | None]:
        delta = self.artifact.delta
        return (self.artifact.ref, str(self.artifact.location), None if delta is None else delta.version)


@dataclass(frozen=True)
class Inventory:
    """Files of all recorded versions in the store; `drives` are the partition names in tables, erased ones included."""

    store: Store
    all: tuple[_Holding, ...]
    drives: frozenset[str]

    @cached_property
    def members(self) -> dict[str, frozenset[str]]:
        """Digests of the files in each stored directory, by ref."""
        return {each.artifact.ref: frozenset(part.digest for part in each.parts) for each in self.all if each.artifact.media is Media.DIRECTORY}

    def contents(self, subject: Subject) -> set[str]:
        """Return the digests of the drives' own files: their logs, and adopted images and segments."""
        found = {
            each.artifact.digest
            for each in self.all
            if each.artifact.kind == ArtifactKind.DRIVE_LOG and each.artifact.media is Media.FILE and each.artifact.name in subject.logs
        }
        adopted = {each.artifact.digest for each in self.all if each.artifact.kind == ArtifactKind.EXTERNAL}
        for path in {part.path for each in self.all for part in each.parts if _drive(part) in subject.drives}:
            found |= _cells(self.store.read(path)) & adopted
        segments = {
            each.artifact.digest
            for each in self.all
            if each.artifact.kind == ArtifactKind.EXTERNAL and set(each.artifact.name.split("/")[:-1]) & set(subject.drives)
        }
        return found | segments

    def of_drives(self, subject: Subject, digests: Collection[str]) -> list[Erased]:
        """Return the versions with the drives' own files or rows: files with these digests, in their partitions, or with rows that name them."""
        found: list[Erased] = []
        mixed: dict[str, ErasedFile | None] = {}
        for each in self.all:
            gone: list[ErasedFile] = []
            for part in each.parts:
                if part.digest in digests or _drive(part) in subject.drives:
                    gone.append(ErasedFile(part.path, part.digest, part.size_bytes, part.rows))
                elif each.artifact.media is Media.DELTA and not part.partition:
                    if part.path not in mixed:
                        mixed[part.path] = self._mixed(part, subject.drives)
                    if (rewritten := mixed[part.path]) is not None:
                        gone.append(rewritten)
            if gone:
                found.append(Erased(*each.place, files=tuple(gone)))
        return found

    def _mixed(self, part: Part, drives: Collection[str]) -> ErasedFile | None:
        """Return a file to be rewritten without the drives' rows; None if it has none."""
        data = self.store.read(part.path)
        bare = None if data is None or not drives else without_drives(data, drives)
        return None if bare is None else ErasedFile(part.path, part.digest, part.size_bytes, part.rows, digest_bytes(bare))

    def commits(self, versions: Sequence[Erased], drives: Collection[str]) -> tuple[ErasedFile, ...]:
        """Return the Delta commits whose statistics contain values of erased rows, earlier commits included."""
        data = (gone.path for version in versions for gone in version.files)
        return tuple(rewritten_commits(self.store, (each.artifact for each in self.all), data, drives))

    def pictures(self, subject: Subject, first: Sequence[Erased], reached: Collection[str] | None = None) -> list[Erased]:
        """Return files, except those in `first`, that may show or name the drives.

        A picture doesn't record which drives it shows, so all candidates are included.

        Args:
            first: versions with the drives' own files or rows.
            reached: refs of derived versions, searched for pictures and pages. None searches adopted files, and files in the same
                directory as an erased one, for texts that name the drives.
        """
        if not subject.drives:
            return []
        named = naming(subject.drives)
        taken = {gone.path for version in first for gone in version.files}
        if reached is None:
            candidates = [
                each
                for each in self.all
                if each.artifact.kind == ArtifactKind.EXTERNAL
                # Files next to a drive log in its directory may name the drive.
                or (each.artifact.media is Media.DIRECTORY and any(part.path in taken for part in each.parts))
            ]
        else:
            candidates = sorted((each for each in self.all if each.artifact.ref in reached), key=lambda each: each.artifact.ref)
        found: list[Erased] = []
        for each in candidates:
            if each.artifact.media is Media.DELTA or not kind_of(each.artifact.kind).holds_data:
                continue
            pictures = reached is not None and each.artifact.kind != ArtifactKind.DRIVE_LOG
            parts = [part for part in each.parts if part.path not in taken and self._shows(part, named, pictures=pictures)]
            if parts:
                found.append(Erased(*each.place, files=tuple(ErasedFile(part.path, part.digest, part.size_bytes) for part in parts)))
        return found

    def _shows(self, part: Part, named: re.Pattern[bytes], *, pictures: bool) -> bool:
        """Whether a file is a text that names a drive, or, with `pictures`, is binary or a text with a picture in it."""
        data = self.store.read(part.path)
        if data is None:
            return False
        if not _is_text(data):
            return pictures
        return named.search(data) is not None or (pictures and (_EMBEDDED.search(data) is not None or _DRAWN.match(data) is not None))


def read_inventory(store: Store, stored: Sequence[Artifact], known: Tombstones) -> Inventory:
    """Read the files of every version, without erased ones. An unreadable version gets no files; `verify` reports it."""
    found: list[_Holding] = []
    drives: set[str] = set()
    for artifact in stored:
        gone = {each.path for each in known.gone(artifact) if each.left is None}
        try:
            parts = tuple(store.parts(artifact))
        except (TracecoreError, OSError, ValueError, KeyError):
            parts = ()
        drives.update(drive for part in parts if (drive := _drive(part)) is not None)
        found.append(_Holding(artifact, tuple(part for part in parts if part.path not in gone)))
    return Inventory(store, tuple(found), frozenset(drives))


def _drive(part: Part) -> str | None:
    return dict(part.partition).get(PARTITION)


def _is_text(data: bytes) -> bool:
    if len(data) > _MOST_TEXT or b"\x00" in data[:4096]:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cells(data: bytes | None) -> set[str]:
    """Return the digests of all binary cells of a Parquet file (images from folders are stored as such); empty for None."""
    import pyarrow.parquet as pq
    import pyarrow.types as pat

    if data is None:
        return set()
    file = pq.ParquetFile(io.BytesIO(data))
    columns = [field.name for field in file.schema_arrow if pat.is_binary(field.type) or pat.is_large_binary(field.type)]
    found: set[str] = set()
    for batch in file.iter_batches(columns=columns, batch_size=64) if columns else ():
        for column in batch.columns:
            found |= {f"sha256:{hashlib.sha256(cell).hexdigest()}" for cell in column.to_pylist() if cell is not None}
    return found
