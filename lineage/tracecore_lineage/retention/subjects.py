"""Subjects of a withdrawal: a drive, a value in drives' metadata, or a person behind a pseudonym."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, select

from tracecore.errors import UsageError, nearest
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.prefix import head
from tracecore_lineage.ledger.sql_tables import EDGES, FACETS
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import known_labelers
from tracecore_schemas.facets import DRIVE_FACET
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import RefError, parse_ref
from tracecore_schemas.run import Artifact

__all__ = ["Subject", "find_subject"]

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


def find_subject(
    connection: Connection, target: str, stored: Sequence[Artifact], members: Mapping[str, frozenset[str]], tabled: Collection[str]
) -> Subject:
    """Resolve the subject of a withdrawal.

    Args:
        target: `drive_log/<drive>`, a drive's name, a value in drives' metadata, a person's name, `labeler/<pseudonym>` or a pseudonym.
        stored: every stored version.
        members: digests of the files in each stored directory, by ref; naming a directory of drive logs selects its drives.
        tabled: drives with rows in tables; image folders have no drive log.

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
    chosen = [log for log in logs if name in {log.name, log.drive}] or _inside(logs, name, stored, members)
    folded = text.casefold()
    if not chosen and "/" not in text:
        chosen = [log for log in logs if folded in log.values]
    drives = {log.drive for log in chosen}
    if not chosen and (text.startswith("drive_log/") or "/" not in text) and name in tabled:
        drives = {name}
    persons = _people(connection, text)
    if not drives and not persons:
        raise UsageError(_unknown(connection, text, logs, tabled))
    of_drives = {log.name for log in logs if log.drive in drives} | drives
    return Subject(tuple(sorted(drives)), tuple(sorted(of_drives)), tuple(persons))


def _logs(connection: Connection) -> Iterator[_Log]:
    """Yield every drive log with a drive facet, then every other recorded drive log."""
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
    """Yield every text and integer of nested metadata, as text."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str | int) and not isinstance(value, bool) and str(value):
        yield str(value)


def _inside(logs: list[_Log], name: str, stored: Sequence[Artifact], members: Mapping[str, frozenset[str]]) -> list[_Log]:
    """Return the drive logs contained in stored directories of the given name."""
    whole = [each for each in stored if each.kind == "drive_log" and each.name == name and each.media is Media.DIRECTORY]
    held = {digest for each in whole for digest in members.get(each.ref, ())}
    named = {each.name for each in stored if each.kind == "drive_log" and each.media is Media.FILE and each.digest in held}
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
