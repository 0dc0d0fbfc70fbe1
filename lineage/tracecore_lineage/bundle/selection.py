"""What a build's trace stands on: of the ledger's events those from which the answer follows, whichever others there are.

A trace chooses among events by minimum and maximum (the earliest output, the newest facet, the first end of a run). So whoever holds the chosen
events, and all of every run that one of them belongs to, gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import ColumnElement, Connection, or_, select

from tracecore_lineage.environments import environment_runs
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.prefix import Prefix, chunks
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.queries.resolve import Relation
from tracecore_lineage.queries.static import static_links
from tracecore_lineage.retention.tombstones import tombstones
from tracecore_lineage.stored import stored_artifacts
from tracecore_lineage.tables import EDGES, FACETS, RUN_EVENTS, recorded_by
from tracecore_lineage.voices import JOB, import_ids, read_imports
from tracecore_schemas.trace import Trace

__all__ = ["events_behind"]

_OF_KEYS = ("tracecore.key_rotate", "tracecore.key_add", "tracecore.key_policy")
_NOT_ABOUT_IT = ("tracecore.environment", "tracecore.bug", JOB, *_OF_KEYS)


def events_behind(connection: Connection, own: LedgerName, trace: Trace, prefix: Prefix, *, since: bool = True) -> dict[str, int]:
    """Choose the events that a sealed build's trace stands on, and those that say since how far it can be trusted.

    Args:
        connection: to the record's database.
        own: the workspace's own ledger.
        trace: of the build.
        prefix: the part of the ledger that it was sealed over.
        since: whether what came after the build's position is wanted too.

    Returns:
        Positions by event id: of its runs, their checks, their environments, whatever else describes a version in it, imports that its events stand
        on; and from after its position every change of keys and what was said of it or erased of it since.
    """
    reader = Reader(connection, prefix)
    refs = [node["ref"] for node in trace["nodes"]]
    runs = {run["id"] for run in trace["runs"]}
    checks = reader.checks(of_runs=runs, targets=refs)
    deciding = {check.event_id for check in checks}
    for facets in reader.facets(refs, deleted=True).values():
        deciding.update(facet.event_id for facet in facets.values())
    deciding.update(link.event_id for link in reader.first_readings(node["ref"] for node in trace["nodes"] if node["run"] is None).values())
    runs |= {check.run for check in checks} | set(_column(connection, RUN_EVENTS.c.run_id, RUN_EVENTS.c.event_id, deciding))
    runs |= set(_environments(connection, reader, runs))
    within = RUN_EVENTS.c.seq < prefix.bound
    found = dict(_events(connection, RUN_EVENTS.c.run_id, runs, within))
    found |= dict(_described(connection, deciding))
    found |= {link.event_id: link.seq for link in static_links(reader, Relation(reader), refs, trace["direction"])}
    if since:
        found |= _since(connection, own, refs)
    found |= _imports(connection, own, found, prefix)
    return found


def _described(connection: Connection, identities: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Give the places of events that say facets: those of no run (DatasetEvents) too."""
    for chunk in chunks(sorted(identities)):
        for row in connection.execute(select(FACETS.c.event_id, FACETS.c.seq).where(FACETS.c.event_id.in_(chunk)).distinct()):
            yield row.event_id, row.seq


def _column(connection: Connection, wanted: ColumnElement[str], column: ColumnElement[str], values: Iterable[str]) -> Iterator[str]:
    for chunk in chunks(sorted(values)):
        yield from connection.execute(select(wanted).where(column.in_(chunk))).scalars()


def _events(connection: Connection, column: ColumnElement[str], values: Iterable[str], *where: ColumnElement[bool]) -> Iterator[tuple[str, int]]:
    for chunk in chunks(sorted(values)):
        for row in connection.execute(select(RUN_EVENTS.c.event_id, RUN_EVENTS.c.seq).where(column.in_(chunk), *where)):
            yield row.event_id, row.seq


def _environments(connection: Connection, reader: Reader, runs: Iterable[str]) -> Iterator[str]:
    """Give the runs that recorded the environments that runs ran in."""
    ran_in: dict[str, set[str]] = {}
    for target, facets in reader.facets(f"run:{run}" for run in runs).items():
        digest = facets["tracecore_execution"].value.get("environment_digest") if "tracecore_execution" in facets else None
        if isinstance(digest, str):
            ran_in.setdefault(digest, set()).add(target.removeprefix("run:"))
    for digest, there in ran_in.items():
        yield from environment_runs(connection, digest, there)


def _since(connection: Connection, own: LedgerName, refs: Iterable[str]) -> dict[str, int]:
    """Choose what happened in the record itself, whenever: changes of keys, and what it says of versions in the trace (cosigned, erased)."""
    ours = recorded_by(own)
    facts = ours & RUN_EVENTS.c.job_name.like("tracecore.%") & RUN_EVENTS.c.job_name.not_in(_NOT_ABOUT_IT)
    runs: set[str] = set()
    for chunk in chunks(sorted(refs)):
        for table, column in ((EDGES, EDGES.c.ref), (FACETS, FACETS.c.subject)):
            query = select(RUN_EVENTS.c.run_id).join(table, table.c.event_id == RUN_EVENTS.c.event_id).where(facts, column.in_(chunk))
            runs.update(connection.execute(query).scalars())
    runs |= _rewriting(connection, own, refs)
    found = dict(_events(connection, RUN_EVENTS.c.run_id, runs, ours))
    keys = select(RUN_EVENTS.c.event_id, RUN_EVENTS.c.seq).where(ours, or_(*(RUN_EVENTS.c.job_name == name for name in _OF_KEYS)))
    return found | {row.event_id: row.seq for row in connection.execute(keys)}


def _rewriting(connection: Connection, own: LedgerName, refs: Iterable[str]) -> set[str]:
    """Return the erasures that rewrote a commit of a table that one of some versions is of: without them its log is not what was recorded."""
    tables = {str(artifact.location) for artifact in stored_artifacts(connection, refs=list(refs)) if artifact.delta is not None}
    erasures = tombstones(connection, own).erasures if tables else ()
    return {erasure.run for erasure in erasures if any(gone.table in tables for gone in erasure.commits)}


def _imports(connection: Connection, own: LedgerName, found: dict[str, int], prefix: Prefix) -> dict[str, int]:
    """Choose the imports that let one of the chosen events speak: the workspace's own, and those that came with them."""
    behind = frozenset(found)
    every = read_imports(connection, import_ids(connection))
    bringing = {each.event_id: each for each in every if each.seq < prefix.bound and not each.members.isdisjoint(behind)}
    chosen = {identity for identity, each in bringing.items() if each.importer == own}
    waiting = list(chosen)
    while waiting:
        within = (bringing[waiting.pop()].members & bringing.keys()) - chosen
        chosen |= within
        waiting.extend(within)
    runs = _column(connection, RUN_EVENTS.c.run_id, RUN_EVENTS.c.event_id, chosen)
    return dict(_events(connection, RUN_EVENTS.c.run_id, runs, RUN_EVENTS.c.seq < prefix.bound))
