"""Queries of reported bugs (facet `tracecore_bug`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from tracecore.errors import UsageError, suggestion
from tracecore_lineage.catalog.prefix import head, readable_catalog
from tracecore_lineage.ledger.sql_tables import EDGES
from tracecore_lineage.trace.facts import Facet, Link
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import build_named
from tracecore_schemas.refs import Ref, RefError, parse_ref
from tracecore_schemas.trace import Bug, BugSeverity

__all__ = ["KIND", "find_bug", "reported_bugs", "reported_since", "require_bug"]

KIND = "bug"
_FACET = "tracecore_bug"


def reported_bugs(connection: Connection, *, build: str | None = None) -> list[Bug]:
    """Return the reported bugs, newest first; with `build` (name or ref), only those against it. Raises UsageError if it is unknown."""
    with readable_catalog():
        reader = Reader(connection, head(connection))
        seen_in = None if build is None else build_named(reader, build).ref
        return sorted((bug for bug in _all(reader) if seen_in in {None, bug.build}), key=lambda bug: (bug.reported_at, bug.id), reverse=True)


def find_bug(connection: Connection, identity: str) -> Bug | None:
    """Return the reported bug with an id, or a ref `bug/<id>`; None if it is unknown or not a valid id."""
    with readable_catalog():
        try:
            ref = parse_ref(identity) if identity.startswith(f"{KIND}/") else Ref(KIND, (identity,))
        except RefError:
            return None
        return _find(Reader(connection, head(connection)), ref)


def require_bug(reader: Reader, ref: Ref) -> Bug:
    """Return the reported bug that a ref names. Raises UsageError, suggesting the nearest id, if it is unknown."""
    found = _find(reader, ref)
    if found is None:
        known = (bug.id for bug in _all(reader))
        raise UsageError(f"{ref} is not in the record. {suggestion(ref.name, known, none_known='No bug was reported yet.')}")
    return found


def _find(reader: Reader, ref: Ref) -> Bug | None:
    """Return the reported bug that a ref names; None if it is unknown."""
    return next(iter(_bugs(reader, reader.outputs_named(KIND, [ref.name]))), None)


def _all(reader: Reader) -> list[Bug]:
    """Return every bug reported in the part of the ledger that the reader covers."""
    query = select(EDGES.c.name).where(EDGES.c.kind == KIND, EDGES.c.direction == "output", EDGES.c.seq < reader.prefix.bound)
    return _bugs(reader, reader.outputs_named(KIND, reader.connection.execute(query.distinct()).scalars()))


def reported_since(reader: Reader, bound: int) -> list[tuple[str, Facet, list[Link]]]:
    """Return (ref, facet, input edges) of each bug first reported at or after position `bound`, sorted by ref; inputs are the affected versions."""
    query = select(EDGES.c.ref).where(EDGES.c.kind == KIND, EDGES.c.direction == "output", EDGES.c.seq >= bound, EDGES.c.seq < reader.prefix.bound)
    made = reader.outputs_like(reader.connection.execute(query).scalars())
    facets = reader.facets({link.ref for link in made})
    about: dict[str, list[Link]] = {}
    for link in reader.links_of({link.run for link in made}):
        if link.direction == "input":
            about.setdefault(link.run, []).append(link)
    first = {link.ref: link for link in reversed(made) if _FACET in facets.get(link.ref, {})}
    return [(ref, facets[ref][_FACET], about.get(link.run, [])) for ref, link in sorted(first.items()) if link.seq >= bound]


def _bugs(reader: Reader, made: Iterable[Link]) -> list[Bug]:
    """Return the bugs that these output edges, sorted by time, report; each with the time and run of its first report."""
    first: dict[str, Link] = {}
    for link in made:
        first.setdefault(link.ref, link)  # links are sorted by time: the first report of a bug counts
    facets = reader.facets(first)
    return [_bug(link, facets[ref][_FACET].value) for ref, link in first.items() if _FACET in facets.get(ref, {})]


def _bug(link: Link, facet: dict[str, Any]) -> Bug:
    """Return the bug that its facet `tracecore_bug` describes, with run and time of the output edge `link` that reported it."""
    severity = facet.get("severity")
    return Bug(
        id=str(facet.get("id")),
        text=str(facet.get("text")),
        build=facet.get("build"),
        frames=tuple(facet.get("frames") or ()),
        severity=BugSeverity(severity) if severity in set(BugSeverity) else None,
        reporter=facet.get("reporter"),
        reported_at=link.event_time,
        run=link.run,
    )
