"""The forward walk: from a version to everything that was made from it."""

from __future__ import annotations

from collections.abc import Iterable

from tracecore_lineage.queries.facts import Link
from tracecore_lineage.queries.found import Found
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.queries.resolve import Reached, Relation

__all__ = ["walk_forward"]


def walk_forward(
    reader: Reader, found: Found, start: Iterable[str], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None
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


def _read(found: Found, using: Reached, level: int) -> None:
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


def _appended(found: Found, made: Link, later: str, level: int) -> None:
    """Note the version that came of appending to what a run made: it holds that too."""
    found.node(later, level)
    found.run(made.run, level)
    found.edge(made.run, later, "output", made.role, inferred=True)


def _certain(found: Found, using: list[Reached]) -> list[Reached]:
    """Return the readings of what was reached; of others it is noted that they may be."""
    for each in using:
        if not each.certain:
            found.times(each.at, each.resolved.times_made)
            missing, why = each.resolved.left_open
            if missing:
                found.gap(each.at, missing, f"{why} It may have been this one.")
    return [each for each in using if each.certain]
