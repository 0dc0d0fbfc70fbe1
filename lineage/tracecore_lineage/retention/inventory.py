"""Subjects of withdrawals (drives and people), and which files of which versions hold bytes, rows or pictures of drives."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, select

from tracecore.errors import TracecoreError, UsageError, nearest
from tracecore.store import Part, Store
from tracecore.store.protocol import ErasedFile
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.prefix import head
from tracecore_lineage.catalog.tombstones import Tombstones
from tracecore_lineage.ledger.sql_tables import EDGES, FACETS
from tracecore_lineage.model.erasure import Erased
from tracecore_lineage.retention.cleanup import naming
from tracecore_lineage.retention.erasures import rewritten_commits
from tracecore_lineage.retention.redaction import without_drives
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import known_labelers
from tracecore_schemas.arrow_tables import PARTITION
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.facets import DRIVE_FACET
from tracecore_schemas.kinds import ArtifactKind, Media, kind_of
from tracecore_schemas.refs import RefError, parse_ref
from tracecore_schemas.run import Artifact

__all__ = ["Inventory", "Subject", "find_subject", "read_inventory"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Subject:
    """Resolved subject of a withdrawal.

    Attributes:
        drives: names of the drives, as in tables.
        logs: names of their drive logs, further parts of a recording included.
        people: (pseudonym, name) of persons to forget; the name is None if none is stored, and empty if the stored one is invalid.
    """

    drives: tuple[str, ...]
    logs: tuple[str, ...]
    people: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class _Log:
    """A recorded drive log; `values` are its metadata values, case-folded."""

    name: str
    drive: str
    values: frozenset[str]


def find_subject(connection: Connection, target: str, inventory: Inventory) -> Subject:
    """Return the drives, drive logs and persons that the target of a withdrawal means; the name of a directory of drive logs means all its drives.

    Args:
        target: `drive_log/<drive>`, a drive's name, a value in drives' metadata, a person's name, `labeler/<pseudonym>` or a pseudonym.

    Raises:
        UsageError: empty or unknown target (names the nearest match).
    """
    text = target.strip()
    if not text:
        raise UsageError("No subject is given: expected a drive, such as drive_log/NAME, or a driver or vehicle in the metadata of drives.")
    logs = list(_logs(connection))
    name = text
    with suppress(RefError):
        ref = parse_ref(text)
        name = ref.segments[0] if ref.kind == "drive_log" else text
    chosen = [log for log in logs if name in {log.name, log.drive}] or _inside(logs, name, inventory)
    folded = text.casefold()
    if not chosen and "/" not in text:
        chosen = [log for log in logs if folded in log.values]
    drives = {log.drive for log in chosen}
    if not chosen and (text.startswith("drive_log/") or "/" not in text) and name in inventory.drives:  # image folders have no drive log
        drives = {name}
    persons = _people(connection, text)
    if not drives and not persons:
        raise UsageError(_unknown(connection, text, logs, inventory.drives))
    of_drives = {log.name for log in logs if log.drive in drives} | drives
    return Subject(tuple(sorted(drives)), tuple(sorted(of_drives)), tuple(persons))


def _logs(connection: Connection) -> Iterator[_Log]:
    """Yield every recorded drive log: first those with a drive facet, with the values of their metadata, then those without, with no values."""
    query = select(FACETS.c.subject, FACETS.c.value).where(FACETS.c.name == DRIVE_FACET.name).distinct()
    described: set[str] = set()
    for row in connection.execute(query):
        ref = parse_ref(row.subject)
        if ref.kind != "drive_log":
            continue
        facet: dict[str, Any] = json.loads(row.value)
        whole = str(facet.get("part_of") or "")
        drive = parse_ref(whole).segments[0] if whole.startswith("drive_log/") else str(facet.get("drive") or ref.segments[0])
        values = frozenset(value.casefold() for value in _texts(facet.get("metadata")))
        described.add(ref.segments[0])
        yield _Log(ref.segments[0], drive, values)
    for name in connection.execute(select(EDGES.c.name).where(EDGES.c.kind == "drive_log").distinct()).scalars():
        if unquote(name) not in described:
            yield _Log(unquote(name), unquote(name), frozenset())


def _texts(value: Any) -> Iterator[str]:
    """Yield, as text, every non-empty text and every integer in nested lists and in values of nested mappings."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str | int) and not isinstance(value, bool) and str(value):
        yield str(value)


def _inside(logs: list[_Log], name: str, inventory: Inventory) -> list[_Log]:
    """Return those of `logs` whose file is part of a stored directory of drive logs that has the name `name`."""
    stored = [each for each in inventory.all if each.artifact.kind == ArtifactKind.DRIVE_LOG]
    folders = [each for each in stored if each.artifact.name == name and each.artifact.media is Media.DIRECTORY]
    inside = {part.digest for each in folders for part in each.parts}
    named = {each.artifact.name for each in stored if each.artifact.media is Media.FILE and each.artifact.digest in inside}
    return [log for log in logs if log.name in named]


def _people(connection: Connection, text: str) -> list[tuple[str, str | None]]:
    pseudonym = text.removeprefix("labeler/")
    found: list[tuple[str, str | None]] = [
        (each, name) for each, name in pseudonyms.known(connection) if pseudonym == each or text.casefold() == name.casefold()
    ]
    if not found and pseudonym in pseudonyms.invalid_names(connection):
        return [(pseudonym, "")]
    if not found and pseudonym in known_labelers(Reader(connection, head(connection))):
        return [(pseudonym, None)]
    return found


def _unknown(connection: Connection, text: str, logs: list[_Log], tabled: Collection[str]) -> str:
    known = {log.name for log in logs} | {f"drive_log/{log.name}" for log in logs} | set(tabled)
    known |= {value for log in logs for value in log.values}
    known |= {f"labeler/{name}" for name in known_labelers(Reader(connection, head(connection)))}
    known |= {name for _, name in pseudonyms.known(connection)}
    offer = nearest(text, sorted(known))
    drives = sorted({log.name for log in logs})
    shown = f"Recorded drives: {', '.join(drives[:_SHOWN])}{' …' if len(drives) > _SHOWN else ''}." if drives else "No drive is recorded yet."
    help_ = f"Did you mean '{offer}'?" if offer else shown
    return f"'{text}' is not a recorded drive, a value in drives' metadata, or a known person. {help_}"


_EMBEDDED = re.compile(rb"data:[\w.+-]+/[\w.+-]+[;,]|[A-Za-z0-9+/]{512}|[0-9a-fA-F]{512}")
"""A data URI, or base64 or hex digits long enough to be a picture."""
_DRAWN = re.compile(rb"^\s*(<\?xml[^>]*>\s*)?<(svg|!doctype html|html)", re.IGNORECASE)
_MOST_TEXT = 256 << 20


@dataclass(frozen=True, slots=True)
class _Holding:
    """A stored version with its files, except deleted ones."""

    artifact: Artifact
    parts: tuple[Part, ...]

    @property
    def place(self) -> tuple[str, str, int | None]:
        delta = self.artifact.delta
        return (self.artifact.ref, str(self.artifact.location), None if delta is None else delta.version)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Files of all recorded versions in the store; `drives` are the partition names in tables, erased ones included."""

    store: Store
    all: tuple[_Holding, ...]
    drives: frozenset[str]

    def contents(self, subject: Subject) -> set[str]:
        """Return the digests of files that show only the drives of `subject`: drive logs, and external files of these drives, such as images."""
        stored = [each.artifact for each in self.all]
        found = {each.digest for each in stored if each.kind == ArtifactKind.DRIVE_LOG and each.media is Media.FILE and each.name in subject.logs}
        external = [each for each in stored if each.kind == ArtifactKind.EXTERNAL]
        found |= {each.digest for each in external if not set(subject.drives).isdisjoint(each.name.split("/")[:-1])}
        images = (_cells(self.store.read(path)) for path in {part.path for each in self.all for part in each.parts if _drive(part) in subject.drives})
        return found | ({each.digest for each in external} & set[str]().union(*images))

    def of_drives(self, subject: Subject, digests: Collection[str]) -> list[Erased]:
        """Return the versions with files to erase (in `digests` or a partition of a subject's drive) or to rewrite without these drives' rows."""
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
        """Return an `ErasedFile` for a data file to rewrite without rows of `drives`, its new digest as member `left`; None if it has no such row."""
        data = self.store.read(part.path)
        bare = None if data is None or not drives else without_drives(data, drives)
        return None if bare is None else ErasedFile(part.path, part.digest, part.size_bytes, part.rows, digest_bytes(bare))

    def commits(self, versions: Sequence[Erased], drives: Collection[str]) -> tuple[ErasedFile, ...]:
        """Return an `ErasedFile` per Delta log file with statistics on rows that `versions` erase. Member `left` is the digest after rewriting."""
        data = (gone.path for version in versions for gone in version.files)
        return tuple(rewritten_commits(self.store, (each.artifact for each in self.all), data, drives))

    def pictures(self, subject: Subject, first: Sequence[Erased], reached: Collection[str] | None = None) -> list[Erased]:
        """Return the versions with files, not erased by `first`, that may show or name the subject's drives; empty without drives.

        A picture doesn't record which drives it shows, so all candidates are included.

        Args:
            first: versions with the drives' own files or rows.
            reached: refs of derived versions, searched for pictures, and for texts that name the drives. If None, only texts that name the drives
                are searched for, in adopted files and in directories that contain an erased file.
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
        """Whether a stored file is a text that names a drive (matches `named`) or, with `pictures`, is binary or a text that embeds a picture."""
        data = self.store.read(part.path)
        if data is None:
            return False
        if not _is_text(data):
            return pictures
        return named.search(data) is not None or (pictures and (_EMBEDDED.search(data) is not None or _DRAWN.match(data) is not None))


def read_inventory(store: Store, stored: Sequence[Artifact], known: Tombstones) -> Inventory:
    """Return the stored files of these versions, without files that the erasures `known` deleted; an unreadable version has no files."""
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
    """Return the SHA-256 digests (`sha256:<hex>`) of all binary cells, such as images, in a Parquet file's bytes; empty for None."""
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
