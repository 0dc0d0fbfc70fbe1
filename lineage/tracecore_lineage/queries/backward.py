"""The backward walk: from a version to everything it was made from, over the exact versions that runs really read."""

from __future__ import annotations

from collections.abc import Iterable

from tracecore_lineage.queries.facts import Link
from tracecore_lineage.queries.found import Found
from tracecore_lineage.queries.inference import UNVERSIONED, is_external, is_unversioned
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.queries.resolve import Relation, Resolved, lost

__all__ = ["walk_backward"]


def walk_backward(
    reader: Reader, found: Found, start: Iterable[tuple[str, str | None]], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None
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


def _start(reader: Reader, found: Found, relation: Relation, ref: str, run: str | None) -> list[tuple[str, Link, bool]]:
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


def _made(found: Found, ref: str, made: Link, level: int, *, inferred: bool = False) -> None:
    """Note the output of a run that a ref resolves to: under its own name and under the one that it was read by."""
    found.node(made.ref, level)
    found.made(made.ref, made.run)
    found.edge(made.run, made.ref, "output", made.role)
    if ref != made.ref:
        if not inferred or is_unversioned(ref):
            found.made(ref, made.run)
        found.edge(made.run, ref, "output", made.role, inferred=inferred)


def _reading(found: Found, resolved: Resolved, level: int) -> None:
    link = resolved.reading
    found.edge(link.run, link.ref, "input", link.role, made_by=resolved.made_by, use=link.use)
    found.node(link.ref, level)
    found.times(link.ref, resolved.times_made)
    if resolved.missing:
        found.gap(link.ref, resolved.missing, resolved.why)


def _cut(found: Found, makers: list[tuple[str, Link, bool]], following: list[str]) -> None:
    """Stop at the asked depth: whether anything goes on from here is said, so that nothing is cut in silence."""
    for ref, made, inferred in makers:
        if not inferred or is_unversioned(ref):
            found.made(ref, made.run)
        if made.run in found.runs:
            found.edge(made.run, ref, "output", made.role, inferred=inferred)
        else:
            found.truncated = True
    found.truncated |= any(run not in found.runs for run in following)
