"""The forward walk: from a version to everything that was made from it."""

from __future__ import annotations

from collections.abc import Iterable

from tracecore_lineage.queries.found import Found
from tracecore_lineage.queries.inference import UNVERSIONED, Readings, dataset_of
from tracecore_lineage.queries.reader import Link, Reader
from tracecore_schemas.kinds import RunState

__all__ = ["walk_forward"]


def walk_forward(reader: Reader, found: Found, start: Iterable[str], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None) -> None:
    """Follow versions to what read them and what that made, a level of runs at a time.

    A reader that says which run it took a version from is reached through that run alone: the same bytes made twice are two histories.

    Args:
        reader: of the asked prefix.
        found: is filled.
        start: refs to begin with; whatever read them is reached, whichever run it took them from.
        runs: runs to begin with, where a run was asked about.
        level: the distance of the first versions from the root.
        depth: how many levels of runs to follow; None for all.
    """
    if depth is not None and level > depth:
        found.truncated = True
        return
    reached: dict[tuple[str, str | None], None] = dict.fromkeys((ref, None) for ref in start)
    seen = set(reached)
    for ref, _ in reached:
        found.node(ref, level)
    next_runs = list(dict.fromkeys(runs))
    while reached or next_runs:
        using = [*_users(reader, reached), *_likely_users(reader, found, reached, level)]
        chosen = dict.fromkeys([*next_runs, *(link.run for link in using)])
        next_runs = []
        if depth is not None and level >= depth:
            found.truncated = bool(chosen.keys() - found.runs.keys())
            return
        level += 1
        for link in using:
            found.edge(link.run, link.ref, "input", link.role)
        for run in chosen:
            found.run(run, level)
        states = reader.runs(chosen)
        reached = {}
        for link in reader.links_of(run for run in chosen if states[run].state is RunState.COMPLETE):
            if link.direction != "output":
                continue
            found.edge(link.run, link.ref, "output", link.role)
            found.node(link.ref, level)
            found.made(link.ref, link.run)
            if (link.ref, link.run) not in seen:
                seen.add((link.ref, link.run))
                reached[link.ref, link.run] = None


def _users(reader: Reader, reached: Iterable[tuple[str, str | None]]) -> list[Link]:
    """Find what read the reached versions, checks apart."""
    by_ref: dict[str, set[str | None]] = {}
    for ref, run in reached:
        by_ref.setdefault(ref, set()).add(run)
    links = reader.inputs_like(by_ref)
    checks = reader.check_runs({link.run for link in links})
    unnamed = {link.ref for link in links if link.producer_run is None and None not in by_ref[link.ref]}
    earliest: dict[str, str] = {}
    for made in reader.outputs_like(unnamed):
        earliest.setdefault(made.ref, made.run)
    return [
        link
        for link in links
        if link.run not in checks and (None in by_ref[link.ref] or (link.producer_run or earliest.get(link.ref)) in by_ref[link.ref])
    ]


def _likely_users(reader: Reader, found: Found, reached: Iterable[tuple[str, str | None]], level: int) -> list[Link]:
    """Find the readings without a version that most likely read one of the reached outputs of other producers; each is a gap."""
    made_by = {(dataset_of(ref), run) for ref, run in reached if ref.startswith("external/")}
    if not made_by:
        return []
    links = reader.inputs_like(f"{dataset}@{UNVERSIONED}" for dataset, _ in made_by)
    likely = Readings.of(reader, {link.ref for link in links}) if links else Readings({})
    checks = reader.check_runs({link.run for link in links})
    users: list[Link] = []
    for link in links:
        made = likely.likely(link)
        if link.run in checks or made is None or not made_by & {(dataset_of(link.ref), made.run), (dataset_of(link.ref), None)}:
            continue
        found.node(link.ref, level)
        found.made(link.ref, made.run)
        found.run(made.run, level)
        found.edge(made.run, link.ref, "output", made.role, inferred=True)
        found.gap(link.ref, "version", f"run/{link.run} read it without saying which version; the newest earlier output is shown, by run/{made.run}.")
        users.append(link)
    return users
