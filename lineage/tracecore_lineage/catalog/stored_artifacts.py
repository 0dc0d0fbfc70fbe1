"""Stored versions known to the record, as the kernel's artifacts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from tracecore.running.dependencies import source_artifacts
from tracecore_lineage.catalog.current_state import dependencies_from
from tracecore_lineage.catalog.delegation import IMPORTS
from tracecore_lineage.events.artifacts import table_of
from tracecore_lineage.ledger.sql_tables import FACETS, select_in
from tracecore_schemas.kinds import Media, kind_of
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    from tracecore.store import Store

__all__ = ["asserted_facets", "names_once", "newest_of_tables", "stored_artifacts", "stored_sources"]


def stored_artifacts(connection: Connection, *, refs: Collection[str] | None = None, bound: int | None = None) -> list[Artifact]:
    """Return each artifact whose bytes are in this store, once per location, as recorded by events of this and of imported workspaces.

    If a version has several locations, the one not from an import comes last. `refs` restricts the versions, `bound` the events to lower positions.
    """
    found: dict[tuple[Any, ...], Artifact] = {}
    places = asserted_facets(connection, refs=refs, bound=bound)
    for subject, value in sorted(places, key=lambda place: (place[0], f'"location":"{IMPORTS}/' not in place[1], place[1])):
        artifact = _artifact(subject, json.loads(value))
        if artifact is not None:
            found[artifact.ref, artifact.media, artifact.location, artifact.delta] = artifact
    return list(found.values())


def newest_of_tables(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Return the newest version of each Delta table among `artifacts`; its Delta log also covers the older versions."""
    newest: dict[str, tuple[int, Artifact]] = {}
    for artifact in artifacts:
        table = str(artifact.location)
        if artifact.delta is not None and newest.get(table, (-1,))[0] < artifact.delta.version:
            newest[table] = (artifact.delta.version, artifact)
    return [artifact for _, artifact in newest.values()]


def names_once(store: Store, artifacts: Sequence[Artifact]) -> Iterator[tuple[str, Artifact]]:
    """Yield (file in the store, version that needs it) for all files of the versions; a table's log files come once, with its newest version."""
    for artifact in artifacts:
        for name in store.names(artifact, log=False):
            yield name, artifact
    for artifact in newest_of_tables(artifacts):
        for name in store.log(artifact):
            yield name, artifact


def stored_sources(connection: Connection, *, runs: Collection[str] | None = None, bound: int | None = None) -> list[Artifact]:
    """Return the stored plugin sources of own and imported runs, sorted by ref; `runs` restricts the runs, `bound` the events to lower positions."""
    asserted = asserted_facets(connection, facet="tracecore_dependencies", refs=None if runs is None else [f"run:{run}" for run in runs], bound=bound)
    found = {source.ref: source for _, value in asserted for source in source_artifacts(dependencies_from(json.loads(value)))}
    return [found[ref] for ref in sorted(found)]


def asserted_facets(
    connection: Connection, *, refs: Collection[str] | None = None, bound: int | None = None, facet: str = "tracecore_artifact"
) -> set[tuple[str, str]]:
    """Return (subject, JSON text) of each own or imported facet named `facet`; `refs` restricts the subjects, `bound` events to lower positions."""
    query = select(FACETS.c.subject, FACETS.c.value).where(FACETS.c.name == facet, FACETS.c.speaker != "")
    if bound is not None:
        query = query.where(FACETS.c.seq < bound)
    rows = connection.execute(query) if refs is None else select_in(connection, query, FACETS.c.subject, refs)
    return {(row.subject, row.value) for row in rows}


def _artifact(ref: str, facet: dict[str, Any]) -> Artifact | None:
    """Return the artifact `ref` as described by its facet `tracecore_artifact`; None if its bytes are not stored."""
    if facet.get("location") is None or facet.get("media") in {None, Media.NONE.value}:
        return None
    parsed = parse_ref(ref)
    delta = facet.get("delta")
    external = parsed.kind == "external"
    return Artifact(
        kind=kind_of(parsed.kind, facet.get("of_kind")),
        name=parsed.segments[-1],
        digest=str(parsed.version) if external else f"sha256:{parsed.version}",
        media=Media(facet["media"]),
        location=facet["location"],
        size_bytes=facet.get("size_bytes"),
        rows=facet.get("rows"),
        delta=delta and DeltaVersion(delta["version"], delta["log"]),
        namespace=parsed.segments[0] if external else None,
        table=table_of(facet),
    )
