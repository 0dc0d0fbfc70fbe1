"""The two walks over the record, backward and forward, and the state they keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tracecore_lineage.trace.facts import UNVERSIONED, Link, is_external, is_unversioned
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.relation import Reached, Relation, Resolved, lost
from tracecore_schemas.trace import Edge, Gap, StaticEdge

__all__ = ["Walk", "walk_backward", "walk_forward"]


@dataclass(slots=True)
class Walk:
    """The growing result of a walk.

    Attributes:
        root: the ref that was asked about, whole.
        direction: `backward` or `forward`.
        levels: each node's distance from the root, in runs.
        made_by: the runs that each node is followed through.
        runs: each run's distance from the root.
        edges: by (run, ref, direction, role), so that none is listed twice.
        gaps: by (at, missing).
        remade: number of runs that made each version label that is no digest.
        static: what was stated of jobs and datasets without any run.
        truncated: whether the walk was cut by `--depth`.
        note: what the reader must know of how this was answered.
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
        """Note a node, once, at its smallest distance."""
        self.levels.setdefault(ref, level)

    def run(self, run: str, level: int) -> None:
        """Note a run, once, at its smallest distance."""
        self.runs.setdefault(run, level)

    def made(self, ref: str, run: str) -> None:
        """Note the run that a node came from."""
        self.made_by.setdefault(ref, set()).add(run)

    def edge(
        self, run: str, ref: str, direction: str, role: str, *, inferred: bool = False, made_by: str | None = None, use: str | None = None
    ) -> None:
        """Note an edge; what was recorded goes before what was inferred. `made_by` is the maker of a label that several runs made."""
        key = (run, ref, direction, role)
        if key not in self.edges or not inferred:
            edge = Edge(run=run, ref=ref, direction=direction, role=role, inferred=inferred)
            if made_by is not None:
                edge["made_by"] = made_by
            if use is not None:
                edge["use"] = use
            self.edges[key] = edge

    def times(self, ref: str, made: int) -> None:
        """Note how many runs made a version that readers tell apart by its name alone; one is what is expected."""
        if made > 1:
            self.remade[ref] = max(made, self.remade.get(ref, 0))

    def gap(self, at: str, missing: str, why: str) -> None:
        """Note a break in the graph."""
        self.gaps.setdefault((at, missing), Gap(at=at, missing=missing, why=why))

    def unmade(self) -> Iterable[str]:
        """Return the nodes that no run of this walk made."""
        return [ref for ref in self.levels if ref not in self.made_by]


def walk_backward(
    reader: Reader, found: Walk, start: Iterable[tuple[str, str | None]], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None
) -> Relation:
    """Follow versions back to where they came from, a level of runs at a time.

    Args:
        reader: of the asked prefix.
        found: is filled.
        start: (ref, producing run) to begin with; without a run every producer that the ref resolves to is taken.
        runs: runs to begin with, where a run was asked about.
        level: the distance of the first versions from the root.
        depth: how many levels of runs to follow; None for all.

    Returns:
        The relation that was followed, for further questions.
    """
    relation = Relation(reader)
    asked = frozenset(runs)
    following = sorted(asked)
    makers: list[tuple[str, Link, bool]] = []  # (the ref as it was read or asked about, the output edge that it resolves to, whether inferred)
    begun = dict.fromkeys(start)
    relation.datasets.load(ref for ref, _ in begun if is_external(ref))
    for ref, run in begun:
        found.node(ref, level)
        makers.extend(_start(reader, found, relation, ref, run))
    while makers or following:
        if depth is not None and level >= depth:
            _cut(found, makers, following)
            return relation
        chosen = dict.fromkeys(run for run in [*following, *(made.run for _, made, _ in makers)] if run not in found.runs)
        level += 1
        for run in chosen:
            found.run(run, level)
        for ref, made, inferred in makers:
            _made(found, ref, made, level - 1, inferred=inferred)
        links = reader.links_of(chosen)
        for link in relation.written(link for link in links if link.direction == "output" and link.run in asked):
            _made(found, link.ref, link, 0)
        makers, following = [], []
        for resolved in relation.of_readings(link for link in links if link.direction == "input"):
            _reading(found, resolved, level)
            makers.extend((resolved.reading.ref, made, resolved.inferred) for made in resolved.makers)
            makers.extend((resolved.reading.ref, made, True) for made in resolved.added)
    return relation


def _start(reader: Reader, found: Walk, relation: Relation, ref: str, run: str | None) -> list[tuple[str, Link, bool]]:
    if is_unversioned(ref):  # stands for whatever its readers read
        resolved = relation.of_readings(reader.inputs_like(f"{name}@{UNVERSIONED}" for name in relation.datasets.of(ref).names))
        for each in resolved:
            found.gap(ref, each.missing, each.why)
        return [(ref, made, True) for each in resolved for made in each.makers]
    made = [link for link in reader.outputs_like([ref]) if link.run == run][:1] if run is not None else relation.makers_of(ref)
    if not made and run is not None:
        found.gap(ref, "producing run", lost(reader, run))
    if is_external(ref):
        found.times(ref, len(made))
    return [*((ref, link, False) for link in made), *((ref, link, True) for link in relation.added_to(ref))]


def _made(found: Walk, ref: str, made: Link, level: int, *, inferred: bool = False) -> None:
    """Note the output of a run that a ref resolves to: under its own name and under the one that it was read by."""
    found.node(made.ref, level)
    found.made(made.ref, made.run)
    found.edge(made.run, made.ref, "output", made.role)
    if ref != made.ref:
        if not inferred or is_unversioned(ref):
            found.made(ref, made.run)
        found.edge(made.run, ref, "output", made.role, inferred=inferred)


def _reading(found: Walk, resolved: Resolved, level: int) -> None:
    link = resolved.reading
    found.edge(link.run, link.ref, "input", link.role, made_by=resolved.made_by, use=link.use)
    found.node(link.ref, level)
    found.times(link.ref, resolved.times_made)
    if resolved.missing:
        found.gap(link.ref, resolved.missing, resolved.why)


def _cut(found: Walk, makers: list[tuple[str, Link, bool]], following: list[str]) -> None:
    """Stop at the asked depth: whether anything goes on from here is said, so that nothing is cut in silence."""
    for ref, made, inferred in makers:
        if not inferred or is_unversioned(ref):
            found.made(ref, made.run)
        if made.run in found.runs:
            found.edge(made.run, ref, "output", made.role, inferred=inferred)
        else:
            found.truncated = True
    found.truncated |= any(run not in found.runs for run in following)


def walk_forward(
    reader: Reader, found: Walk, start: Iterable[str], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None
) -> Relation:
    """Follow versions to what read them and what that made, a level of runs at a time.

    A reader that says which run it took a version from is reached through that run alone: the same bytes made twice are two histories.

    Args:
        reader: of the asked prefix.
        found: is filled.
        start: refs to begin with; whatever read them is reached, whichever run it took them from.
        runs: runs to begin with, where a run was asked about.
        level: the distance of the first versions from the root.
        depth: how many levels of runs to follow; None for all.

    Returns:
        The relation that was followed, for further questions.
    """
    relation = Relation(reader)
    if depth is not None and level > depth:
        found.truncated = True
        return relation
    reached: dict[tuple[str, str | None], None] = dict.fromkeys((ref, None) for ref in start)
    seen = set(reached)
    for ref, _ in reached:
        found.node(ref, level)
    next_runs = list(dict.fromkeys(runs))
    while reached or next_runs:
        for made, later in relation.adding_to(reached):
            _appended(found, made, later.ref, level)
        using = _certain(found, relation.readers_of(reached))
        chosen = dict.fromkeys([*next_runs, *(each.resolved.reading.run for each in using)])
        next_runs = []
        if depth is not None and level >= depth:
            found.truncated = bool(chosen.keys() - found.runs.keys())
            return relation
        for each in using:
            _read(found, each, level)
        level += 1
        for run in chosen:
            found.run(run, level)
        reached = {}
        for link in relation.written(link for link in reader.links_of(chosen) if link.direction == "output"):
            found.edge(link.run, link.ref, "output", link.role)
            found.node(link.ref, level)
            found.made(link.ref, link.run)
            if (link.ref, link.run) not in seen:
                seen.add((link.ref, link.run))
                reached[link.ref, link.run] = None
    return relation


def _read(found: Walk, using: Reached, level: int) -> None:
    """Note a reading of what was reached, and the makers through which it was."""
    resolved, link = using.resolved, using.resolved.reading
    found.node(link.ref, level)
    found.edge(link.run, link.ref, "input", link.role, made_by=resolved.made_by, use=link.use)
    found.times(link.ref, resolved.times_made)
    if resolved.missing:
        found.gap(link.ref, resolved.missing, resolved.why)
    for made in using.through:
        if made in resolved.added:
            _appended(found, made, link.ref, level)
        elif made.ref != link.ref:
            found.made(link.ref, made.run)
            found.run(made.run, level)
            found.edge(made.run, link.ref, "output", made.role, inferred=resolved.inferred)


def _appended(found: Walk, made: Link, later: str, level: int) -> None:
    """Note the version that came of appending to what a run made: it holds that too."""
    found.node(later, level)
    found.run(made.run, level)
    found.edge(made.run, later, "output", made.role, inferred=True)


def _certain(found: Walk, using: list[Reached]) -> list[Reached]:
    """Return the readings of what was reached; of others it is noted that they may be."""
    for each in using:
        if not each.certain:
            found.times(each.at, each.resolved.times_made)
            missing, why = each.resolved.left_open
            if missing:
                found.gap(each.at, missing, f"{why} It may have been this one.")
    return [each for each in using if each.certain]
