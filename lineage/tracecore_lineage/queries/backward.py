"""The backward walk: from a version to everything it was made from, over the exact versions that runs really read."""

from __future__ import annotations

from collections.abc import Iterable

from tracecore_lineage.queries.found import Found
from tracecore_lineage.queries.inference import Readings, is_unversioned
from tracecore_lineage.queries.reader import Link, Reader
from tracecore_schemas.kinds import RunState

__all__ = ["walk_backward"]

Wanted = dict[tuple[str, str | None], None]
"""(ref, run it was taken from) pairs still to be followed; a dict for its order."""


def walk_backward(
    reader: Reader, found: Found, start: Iterable[tuple[str, str | None]], *, runs: Iterable[str] = (), level: int = 0, depth: int | None = None
) -> None:
    """Follow versions back to where they came from, a level of runs at a time.

    Args:
        reader: of the asked prefix.
        found: is filled.
        start: (ref, producing run) to begin with; without a run the earliest producer in the prefix is taken.
        runs: runs to begin with, where a run was asked about.
        level: the distance of the first versions from the root.
        depth: how many levels of runs to follow; None for all.
    """
    wanted: Wanted = dict.fromkeys(start)
    seen = set(wanted)
    for ref, _ in wanted:
        found.node(ref, level)
    asked = frozenset(runs)
    following = sorted(asked)
    while wanted or following:
        if depth is not None and level >= depth:
            _cut(reader, found, wanted, following)
            return
        made = _makers(reader, found, wanted)
        for link in made:
            found.edge(link.run, link.ref, "output", link.role)
        chosen = dict.fromkeys(run for run in [*following, *(link.run for link in made)] if run not in found.runs)
        level += 1
        for run in chosen:
            found.run(run, level)
        links = reader.links_of(chosen)
        for link in links:
            if link.direction == "output" and link.run in asked:
                _own_output(reader, found, link)
        readings = [link for link in links if link.direction == "input"]
        for link in readings:
            found.edge(link.run, link.ref, "input", link.role)
            found.node(link.ref, level)
        taken = dict.fromkeys((link.ref, link.producer_run) for link in readings if not is_unversioned(link.ref))
        wanted = {pair: None for pair in taken if pair not in seen}
        seen |= taken.keys()
        following = _inferred(reader, found, [link for link in readings if is_unversioned(link.ref)])


def _own_output(reader: Reader, found: Found, link: Link) -> None:
    """Show what the run that was asked about made itself; what came after it is not looked at."""
    if reader.runs([link.run])[link.run].state is RunState.COMPLETE:
        found.node(link.ref, 0)
        found.made(link.ref, link.run)
        found.edge(link.run, link.ref, "output", link.role)


def _makers(reader: Reader, found: Found, wanted: Wanted) -> list[Link]:
    """Find the output of a run that each wanted version is; what has none is left for the gaps."""
    outputs: dict[str, list[Link]] = {}
    for link in reader.outputs_like({ref for ref, _ in wanted}):
        outputs.setdefault(link.ref, []).append(link)
    makers: list[Link] = []
    for ref, taken_from in wanted:
        made = next((link for link in outputs.get(ref, []) if taken_from in {None, link.run}), None)
        if made is not None:
            found.made(ref, made.run)
            makers.append(made)
        elif taken_from is not None:
            found.gap(ref, "producing run", _lost(reader, taken_from))
    return makers


def _lost(reader: Reader, run: str) -> str:
    known = reader.runs([run]).get(run)
    if known is None:
        return f"Its reader took it from run/{run}, which this part of the record does not know."
    if known.state is not RunState.COMPLETE:
        return f"Its reader took it from run/{run}, which is {known.state.value} and so made nothing."
    return f"Its reader took it from run/{run}, which says nothing of having made it."


def _inferred(reader: Reader, found: Found, readings: list[Link]) -> list[str]:
    """Note the likely producer of each reading without a version, and the gap that it stays."""
    if not readings:
        return []
    likely = Readings.of(reader, {link.ref for link in readings})
    makers: list[str] = []
    for link in readings:
        made = likely.likely(link)
        if made is None:
            found.gap(link.ref, "version", f"run/{link.run} read it without saying which version, and no earlier output of that dataset is recorded.")
            continue
        found.gap(link.ref, "version", f"run/{link.run} read it without saying which version; the newest earlier output is shown, by run/{made.run}.")
        found.made(link.ref, made.run)
        found.edge(made.run, link.ref, "output", made.role, inferred=True)
        makers.append(made.run)
    return makers


def _cut(reader: Reader, found: Found, wanted: Wanted, following: list[str]) -> None:
    """Stop at the asked depth: say whether anything goes on from here, so that nothing is cut in silence."""
    for link in _makers(reader, found, wanted):
        if link.run in found.runs:
            found.edge(link.run, link.ref, "output", link.role)
        else:
            found.truncated = True
    found.truncated |= any(run not in found.runs for run in following)
