"""Static lineage: reads and writes declared by JobEvents and DatasetEvents, without a run or time.

Walks do not follow static edges; answers list the ones that their nodes lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracecore_lineage.catalog.projection import READS, WRITES
from tracecore_lineage.trace.facts import Link, dataset_of, is_external
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.relation import Relation
from tracecore_lineage.trace.walk import Walk
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import StaticEdge

__all__ = ["as_edges", "note_static", "static_around", "static_links"]

_BETWEEN = {"backward": (WRITES, READS), "forward": (READS, WRITES)}
"""By direction: the static edges that lead from a dataset to a job, and those that lead on from the job."""


def note_static(reader: Reader, relation: Relation, walk: Walk) -> None:
    """Set `walk.static` to the static edges around its nodes; in a forward walk, add a gap for each declared reader without a recorded run."""
    links = static_links(reader, relation, walk.levels, walk.direction)
    walk.static = as_edges(links)
    if walk.direction == "forward":
        _name_unread(reader, relation, walk, [link for link in links if link.direction == READS])


def static_links(reader: Reader, relation: Relation, refs: Iterable[str], direction: str) -> list[Link]:
    """Return the static edges found by following them from `refs` in a direction, through any number of jobs."""
    near, far = _BETWEEN[direction]
    found: dict[tuple[str, str, int], Link] = {}
    jobs: set[str] = set()
    waiting = list(refs)
    seen = set[str]()
    while waiting:
        names = _names(relation, waiting) - seen
        seen |= names
        met = [link for link in _of(reader, names) if link.direction == near]
        stated = reader.static_by({link.run for link in met} - jobs)
        jobs |= {link.run for link in met}
        found.update(((link.event_id, link.direction, link.ordinal), link) for link in stated)
        waiting = [link.ref for link in stated if link.direction == far]
    return [link for link in found.values() if link.direction == far or _name(link.ref) in seen]


def static_around(reader: Reader, relation: Relation, ref: str) -> list[StaticEdge]:
    """Return every static edge of the jobs that statically read or write a dataset."""
    met = _of(reader, _names(relation, [ref]))
    return as_edges(reader.static_by({link.run for link in met}))


def as_edges(links: Iterable[Link]) -> list[StaticEdge]:
    """Convert links to sorted `StaticEdge`s, one per (job, direction, ref, role), with the time it was last stated."""
    edges: dict[tuple[str, str, str, str], StaticEdge] = {}
    for link in sorted(links, key=lambda link: link.order):
        kind, _, name = link.run.partition(":")
        direction = "input" if link.direction == READS else "output"
        edges[link.run, direction, link.ref, link.role] = StaticEdge(
            job=name if kind == "job" else None, ref=link.ref, direction=direction, role=link.role, stated_at=link.event_time
        )
    return [edges[key] for key in sorted(edges)]


def _name_unread(reader: Reader, relation: Relation, walk: Walk, stated: list[Link]) -> None:
    """Add a gap to each version that a job is declared to read if no recorded run of that job read its dataset."""
    versions: dict[str, list[str]] = {}
    for ref in walk.levels if stated else ():
        versions.setdefault(_name(ref), []).append(ref)
    for link in stated:
        names = _names(relation, [link.ref])
        met = [ref for name in sorted(names) for ref in versions.get(name, ())]
        if not met:
            continue
        readers = reader.runs({reading.run for name in names for reading in reader.readings_of(parse_ref(name).kind, {parse_ref(name).name})})
        if link.run not in {f"job:{run.namespace}/{run.job}" for run in readers.values()}:
            kind, _, job = link.run.partition(":")
            reads = f"job {job} is stated to read it" if kind == "job" else f"{job} is stated to be derived from it"
            for ref in met:
                walk.gap(ref, "reading run", f"{reads[0].upper()}{reads[1:]} (static lineage), and no run that did is recorded.")


def _of(reader: Reader, names: set[str]) -> Iterator[Link]:
    """Yield the static edges to or from one of these names (external refs without a version, artifact refs with it)."""
    by_kind: dict[str, set[str]] = {}
    for name in names:
        parsed = parse_ref(name)
        by_kind.setdefault(parsed.kind, set()).add(parsed.name)
    for kind, listed in sorted(by_kind.items()):
        yield from (link for link in reader.static_of(kind, listed) if _name(link.ref) in names)


def _names(relation: Relation, refs: Iterable[str]) -> set[str]:
    """Return the names that static edges of these versions may use: all current and former names of external datasets, refs of artifacts."""
    listed = list(refs)
    relation.datasets.load(ref for ref in listed if is_external(ref))
    return {name for ref in listed for name in (relation.datasets.near(ref) if is_external(ref) else [ref])}


def _name(ref: str) -> str:
    """Return the name by which static edges are matched: an external ref without its version, an artifact's ref with it."""
    return dataset_of(ref) if is_external(ref) else ref
