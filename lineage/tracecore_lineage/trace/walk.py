"""Backward and forward walks over the record, and the static lineage around their nodes: reads and writes declared without a run or time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tracecore_lineage.catalog.projection import READS, WRITES
from tracecore_lineage.trace.facts import UNVERSIONED, Link, dataset_of, is_external, is_unversioned
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.relation import Reached, Relation, Resolved, lost
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import Edge, Gap, StaticEdge

__all__ = ["Walk", "as_edges", "note_static", "static_around", "static_links", "walk_backward", "walk_forward"]


@dataclass(slots=True)
class Walk:
    """Graph collected by a `backward` or `forward` walk from `root`, a full ref.

    Attributes:
        levels: distance of each node from the root, in levels of runs; `runs` likewise.
        remade: by version that has only a label instead of a digest, the number of runs that made it, if several.
        truncated: whether `--depth` cut the walk.
        note: remark for the reader about how the question was answered.
    """

    root: str
    direction: str
    levels: dict[str, int] = field(default_factory=dict)
    made_by: dict[str, set[str]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str, str, str], Edge] = field(default_factory=dict)
    gaps: dict[tuple[str, str], Gap] = field(default_factory=dict)
    remade: dict[str, int] = field(default_factory=dict)
    static: list[StaticEdge] = field(default_factory=list)
    truncated: bool = False
    note: str | None = None

    def node(self, ref: str, level: int) -> None:
        """Add a version to the walk, `level` levels of runs from the root; one that is already there keeps its level."""
        self.levels.setdefault(ref, level)

    def run(self, run: str, level: int) -> None:
        """Add a run to the walk, `level` levels of runs from the root; one that is already there keeps its level."""
        self.runs.setdefault(run, level)

    def made(self, ref: str, run: str) -> None:
        """Record in the walk that a run made the version `ref`."""
        self.made_by.setdefault(ref, set()).add(run)

    def edge(
        self, run: str, ref: str, direction: str, role: str, *, inferred: bool = False, made_by: str | None = None, use: str | None = None
    ) -> None:
        """Add an input or output edge to the walk. An inferred edge never replaces another. `made_by`: maker of an input, if several runs made it."""
        key = (run, ref, direction, role)
        if key not in self.edges or not inferred:
            edge = Edge(run=run, ref=ref, direction=direction, role=role, inferred=inferred)
            if made_by is not None:
                edge["made_by"] = made_by
            if use is not None:
                edge["use"] = use
            self.edges[key] = edge

    def made_times(self, ref: str, made: int) -> None:
        """Record that `made` runs made a version identified by a label without a digest; 0 and 1 are ignored."""
        if made > 1:
            self.remade[ref] = max(made, self.remade.get(ref, 0))

    def gap(self, at: str, missing: str, why: str) -> None:
        """Add a gap (a fact that is missing at node `at`, and why); an existing gap for the same node and fact is kept."""
        self.gaps.setdefault((at, missing), Gap(at=at, missing=missing, why=why))


def walk_backward(
    reader: Reader, walk: Walk, start: Iterable[tuple[str, str | None]], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None
) -> Relation:
    """Extend `walk` backward, level by level: from versions to the runs that made them, and from these runs to their inputs.

    Begins with `runs` and with versions in `start`, each as (ref, run that made it, or None for every such run), at distance `level` from the root;
    follows at most `depth` levels of runs. Returns the `Relation` used, which caches how it resolved the inputs to makers.
    """
    relation = Relation(reader)
    wanted = frozenset(runs)
    following = sorted(wanted)
    makers: list[tuple[str, Link, bool]] = []  # (ref as read or requested, output edge it resolves to, inferred)
    begun = dict.fromkeys(start)
    relation.datasets.load(ref for ref, _ in begun if is_external(ref))
    for ref, run in begun:
        walk.node(ref, level)
        makers.extend(_start(reader, walk, relation, ref, run))
    while makers or following:
        if depth is not None and level >= depth:
            _cut(walk, makers, following)
            return relation
        chosen = dict.fromkeys(run for run in [*following, *(made.run for _, made, _ in makers)] if run not in walk.runs)
        level += 1
        for run in chosen:
            walk.run(run, level)
        for ref, made, inferred in makers:
            _made(walk, ref, made, level - 1, inferred=inferred)
        links = reader.links_of(chosen)
        for link in relation.written(link for link in links if link.direction == "output" and link.run in wanted):
            _made(walk, link.ref, link, 0)
        makers, following = [], []
        for resolved in relation.of_readings(link for link in links if link.direction == "input"):
            _reading(walk, resolved, level)
            makers.extend((resolved.reading.ref, made, resolved.inferred) for made in resolved.makers)
            makers.extend((resolved.reading.ref, made, True) for made in resolved.added)
    return relation


def _start(reader: Reader, walk: Walk, relation: Relation, ref: str, run: str | None) -> list[tuple[str, Link, bool]]:
    """Return (ref, maker's output edge, whether it is only likely) for each maker of a version to start from; add gaps to `walk`."""
    if is_unversioned(ref):  # resolved like the readings of it
        resolved = relation.of_readings(reader.inputs_like(f"{name}@{UNVERSIONED}" for name in relation.datasets.of(ref).names))
        for each in resolved:
            walk.gap(ref, each.missing, each.why)
        return [(ref, made, True) for each in resolved for made in each.makers]
    made = [link for link in reader.outputs_like([ref]) if link.run == run][:1] if run is not None else relation.makers_of(ref)
    if not made and run is not None:
        walk.gap(ref, "producing run", lost(reader, run))
    if is_external(ref):
        walk.made_times(ref, len(made))
    return [*((ref, link, False) for link in made), *((ref, link, True) for link in relation.added_to(ref))]


def _made(walk: Walk, ref: str, made: Link, level: int, *, inferred: bool = False) -> None:
    """Add to `walk` a run's output edge and, if it differs, `ref`, the name under which the version was read."""
    walk.node(made.ref, level)
    walk.made(made.ref, made.run)
    walk.edge(made.run, made.ref, "output", made.role)
    if ref != made.ref:
        if not inferred or is_unversioned(ref):
            walk.made(ref, made.run)
        walk.edge(made.run, ref, "output", made.role, inferred=inferred)


def _reading(walk: Walk, resolved: Resolved, level: int) -> None:
    """Add to `walk` the version that a run read, the edge between them, and a gap (missing fact) if `resolved.missing` names one."""
    link = resolved.reading
    walk.edge(link.run, link.ref, "input", link.role, made_by=resolved.made_by, use=link.use)
    walk.node(link.ref, level)
    walk.made_times(link.ref, resolved.times_made)
    if resolved.missing:
        walk.gap(link.ref, resolved.missing, resolved.why)


def _cut(walk: Walk, makers: list[tuple[str, Link, bool]], following: list[str]) -> None:
    """End a walk at the depth limit: add only edges of runs already in it, and set `walk.truncated` if any run is left out."""
    for ref, made, inferred in makers:
        if not inferred or is_unversioned(ref):
            walk.made(ref, made.run)
        if made.run in walk.runs:
            walk.edge(made.run, ref, "output", made.role, inferred=inferred)
        else:
            walk.truncated = True
    walk.truncated |= any(run not in walk.runs for run in following)


def walk_forward(reader: Reader, walk: Walk, start: Iterable[str], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None) -> Relation:
    """Extend `walk` forward, level by level: from versions to the runs that read them, and from these runs to their outputs.

    A run that names the producing run of its input is reached only through that run, even if another run made the same bytes. Arguments and result
    are those of `walk_backward`, except that `start` contains refs only.
    """
    relation = Relation(reader)
    if depth is not None and level > depth:
        walk.truncated = True
        return relation
    reached: dict[tuple[str, str | None], None] = dict.fromkeys((ref, None) for ref in start)
    seen = set(reached)
    for ref, _ in reached:
        walk.node(ref, level)
    next_runs = list(dict.fromkeys(runs))
    while reached or next_runs:
        for made, later in relation.adding_to(reached):
            _appended(walk, made, later.ref, level)
        using = _certain(walk, relation.readers_of(reached))
        chosen = dict.fromkeys([*next_runs, *(each.resolved.reading.run for each in using)])
        next_runs = []
        if depth is not None and level >= depth:
            walk.truncated = bool(chosen.keys() - walk.runs.keys())
            return relation
        for each in using:
            _read(walk, each, level)
        level += 1
        for run in chosen:
            walk.run(run, level)
        reached = {}
        for link in relation.written(link for link in reader.links_of(chosen) if link.direction == "output"):
            walk.edge(link.run, link.ref, "output", link.role)
            walk.node(link.ref, level)
            walk.made(link.ref, link.run)
            if (link.ref, link.run) not in seen:
                seen.add((link.ref, link.run))
                reached[link.ref, link.run] = None
    return relation


def _read(walk: Walk, using: Reached, level: int) -> None:
    """Add to `walk` an input edge that read a followed version, and edges to those makers through which it was reached."""
    resolved, link = using.resolved, using.resolved.reading
    _reading(walk, resolved, level)
    for made in using.through:
        if made in resolved.added:
            _appended(walk, made, link.ref, level)
        elif made.ref != link.ref:
            walk.made(link.ref, made.run)
            walk.run(made.run, level)
            walk.edge(made.run, link.ref, "output", made.role, inferred=resolved.inferred)


def _appended(walk: Walk, made: Link, later: str, level: int) -> None:
    """Add to `walk` the version `later`, made by appending to the output `made`, as an inferred output of the run that made `made`."""
    walk.node(later, level)
    walk.run(made.run, level)
    walk.edge(made.run, later, "output", made.role, inferred=True)


def _certain(walk: Walk, using: list[Reached]) -> list[Reached]:
    """Return the input edges that certainly read a followed version. For an uncertain edge with an unknown fact, add a gap to `walk`."""
    for each in using:
        if not each.certain:
            walk.made_times(each.at, each.resolved.times_made)
            missing, why = each.resolved.unknown
            if missing:
                walk.gap(each.at, missing, f"{why} It may have been this one.")
    return [each for each in using if each.certain]


_BETWEEN = {"backward": (WRITES, READS), "forward": (READS, WRITES)}
"""By direction: the static edges that lead from a dataset to a job, and those that lead on from the job."""


def note_static(reader: Reader, relation: Relation, walk: Walk) -> None:
    """Set `walk.static` to the static edges (stated without a run) at its nodes; forward, add gaps for stated readers without a recorded run."""
    links = static_links(reader, relation, walk.levels, walk.direction)
    walk.static = as_edges(links)
    if walk.direction == "forward":
        _add_unread_gaps(reader, relation, walk, [link for link in links if link.direction == READS])


def static_links(reader: Reader, relation: Relation, refs: Iterable[str], direction: str) -> list[Link]:
    """Return the static edges (stated without a run) that lead from `refs` `backward` or `forward` (`direction`), via any number of jobs."""
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
    """Return all static edges (stated without a run) of the jobs that are stated to read or write the dataset `ref`."""
    met = _of(reader, _names(relation, [ref]))
    return as_edges(reader.static_by({link.run for link in met}))


def as_edges(links: Iterable[Link]) -> list[StaticEdge]:
    """Return static edges sorted, as one `StaticEdge` per (job, direction, ref, role) with the time at which it was last stated."""
    edges: dict[tuple[str, str, str, str], StaticEdge] = {}
    for link in sorted(links, key=lambda link: link.order):
        kind, _, name = link.run.partition(":")
        direction = "input" if link.direction == READS else "output"
        edges[link.run, direction, link.ref, link.role] = StaticEdge(
            job=name if kind == "job" else None, ref=link.ref, direction=direction, role=link.role, stated_at=link.event_time
        )
    return [edges[key] for key in sorted(edges)]


def _add_unread_gaps(reader: Reader, relation: Relation, walk: Walk, stated: list[Link]) -> None:
    """Add a gap (missing fact) to each version in `walk` whose dataset a job is stated to read, though no recorded run of that job read it."""
    versions: dict[str, list[str]] = {}
    for ref in walk.levels if stated else ():
        versions.setdefault(_name(ref), []).append(ref)
    for link in stated:
        names = _names(relation, [link.ref])
        met = [ref for name in sorted(names) for ref in versions.get(name, ())]
        if not met:
            continue
        read = [reader.links("name", [parse_ref(name).name], "input", kind=parse_ref(name).kind) for name in names]
        readers = reader.runs({reading.run for readings in read for reading in readings})
        if link.run not in {f"job:{run.namespace}/{run.job}" for run in readers.values()}:
            kind, _, job = link.run.partition(":")
            reads = f"job {job} is stated to read it" if kind == "job" else f"{job} is stated to be derived from it"
            for ref in met:
                walk.gap(ref, "reading run", f"{reads[0].upper()}{reads[1:]} (static lineage), and no run that did is recorded.")


def _of(reader: Reader, names: set[str]) -> Iterator[Link]:
    """Yield the static edges (stated without a run) at one of these names: external refs without a version, artifact refs with it."""
    by_kind: dict[str, set[str]] = {}
    for name in names:
        parsed = parse_ref(name)
        by_kind.setdefault(parsed.kind, set()).add(parsed.name)
    for kind, listed in sorted(by_kind.items()):
        yield from (link for link in reader.links("name", listed, READS, WRITES, kind=kind) if _name(link.ref) in names)


def _names(relation: Relation, refs: Iterable[str]) -> set[str]:
    """Return the names by which static edges may refer to versions: an external dataset's current and former names, an artifact's ref."""
    listed = list(refs)
    relation.datasets.load(ref for ref in listed if is_external(ref))
    return {name for ref in listed for name in (relation.datasets.near(ref) if is_external(ref) else [ref])}


def _name(ref: str) -> str:
    """Return the name that identifies a ref in static edges: an external ref without its version, an artifact's ref with it."""
    return dataset_of(ref) if is_external(ref) else ref
