"""Many histories in one record, asked at once: what it says of each, in the plain model's words."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from plain_histories import LEDGER, OURS, history, instant, rendered
from plain_lineage import Answer, Event, Node, World

from tracecore_lineage.catalog.prefix import Prefix
from tracecore_lineage.catalog.replay import snapshot
from tracecore_lineage.ledger.ledger import Leaf
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.answer import assemble
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk, walk_backward, walk_forward
from tracecore_schemas.refs import Ref, parse_ref

__all__ = ["differences", "one_way", "recorded"]

_ASKED = 2
"""Versions of each history that are asked about."""


@dataclass
class Told:
    """What an answer says of one history."""

    edges: set[tuple[Any, ...]] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    gaps: set[Node] = field(default_factory=set)
    times: dict[Node, int] = field(default_factory=dict)
    unknowns: set[tuple[str, str]] = field(default_factory=set)
    claims: set[tuple[Node, str]] = field(default_factory=set)


class History:
    """One history, its model, and the versions that are asked about."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.events: list[Event] = history(seed, f"h{seed}")
        self.world = World(self.events, OURS)
        nodes = {made.node for made in self.world.writes} | {read.node for read in self.world.reads if read.node[1] != "?"}
        listed = sorted(nodes)
        self.targets = random.Random(seed).sample(listed, min(_ASKED, len(listed)))

    def node(self, ref: str) -> Node:
        parsed = parse_ref(ref)
        if parsed.kind != "external":
            return (OURS, ref.partition("@")[0]), f"sha256:{parsed.version}"
        return self.world.node((parsed.segments[0], parsed.segments[1]), None if parsed.version == "unversioned" else parsed.version)


def _ref(node: Node) -> str:
    (namespace, name), version = node
    if version == "?":
        return str(Ref("external", (namespace, name), "unversioned"))
    return f"{name}@{version.removeprefix('sha256:')}" if namespace == OURS else str(Ref("external", (namespace, name), version))


@contextmanager
def recorded(events: Iterable[Event]) -> Iterator[Reader]:
    """Record events, in the order of their recorded times."""
    listed = sorted(set(events), key=lambda event: event.recorded)
    leaves = [Leaf(seq, event.digest, instant(event.recorded), "", rendered(event)) for seq, event in enumerate(listed)]
    with snapshot(leaves, LedgerName(OURS, LEDGER), len(leaves)) as connection:
        yield Reader(connection, Prefix(len(leaves), len(leaves)))


def _ask(reader: Reader, forward: bool, asked: dict[str, History], by_run: dict[str, History]) -> dict[int, Told]:
    """Ask for one version of each history in one walk, and take the answer apart again."""
    found = Walk("", "forward" if forward else "backward")
    if forward:
        walk_forward(reader, found, list(asked))
    else:
        walk_backward(reader, found, [(ref, None) for ref in asked])
    answer = assemble(reader, found).trace
    told = {each.seed: Told() for each in asked.values()}
    by_ref = {edge["ref"]: by_run[edge["run"]] for edge in answer["edges"]} | asked
    for edge in answer["edges"]:
        of = by_run[edge["run"]]
        told[of.seed].edges.add((edge["run"], of.node(edge["ref"]), edge["direction"], edge["role"], edge.get("made_by"), edge["inferred"]))
    for run in answer["runs"]:
        told[by_run[run["id"]].seed].runs.add(run["id"])
    for gap in answer["gaps"]:
        of = by_ref[gap["at"]]
        told[of.seed].gaps.add(of.node(gap["at"]))
    for unknown in answer["unknowns"]:
        at, what = unknown["at"], unknown["what"]
        if at.startswith("run/"):
            told[by_run[at[4:]].seed].unknowns.add((at[4:], what))
        elif what.startswith("made "):
            of = by_ref[at]
            node, times = of.node(at), int(what.split()[1])
            told[of.seed].times[node] = max(times, told[of.seed].times.get(node, 0))
    for claim in answer["claims"]:
        of = by_run[claim["run"]]
        told[of.seed].claims.add((of.node(claim["at"]), claim["run"]))
    return told


def _wrong(of: History, target: Node, forward: bool, told: Told) -> Iterator[str]:
    """Yield what differs from the model, and between two answers of the record."""
    answer: Answer = of.world.impact(*target) if forward else of.world.trace(*target)
    # Going forward, the maker of what was read under another name is shown, so that the two names hang together.
    shown = {made for read in of.world.reads if read.run in answer.runs for made in read.makers} if forward else set()
    aside = {
        (made.run, node, "output", "", None, inferred)
        for made in shown
        for node in {made.node, *(edge[1] for edge in answer.edges)}
        for inferred in (False, True)
    }
    runs, extra = told.runs - {made.run for made in shown}, {edge for edge in told.edges - answer.edges if edge not in aside}
    if extra or answer.edges - told.edges:
        yield f"edges: too many {extra}, too few {answer.edges - told.edges}"
    if runs != answer.runs - {made.run for made in shown}:
        yield f"runs: {told.runs} for {answer.runs}"
    if not answer.gaps <= told.gaps <= answer.gaps | answer.doubts or bool(told.gaps) != bool(answer.gaps | answer.doubts):
        yield f"gaps: {told.gaps} for {answer.gaps}, perhaps {answer.doubts}"
    if told.times != answer.times:
        yield f"made several times: {told.times} for {answer.times}"
    expected = {(run, what) for run in told.runs for what in of.world.unknowns(run)}
    if {(run, what) for run, what in told.unknowns if what in {"clock", "end", "job"}} != expected:
        yield f"unknowns: {told.unknowns} for {expected}"
    nodes = {edge[1] for edge in told.edges} | {target}
    claims = {
        (node, run) for node in nodes for name, version, run in of.world.claims if node[0] == name and version in {None, node[1]} and node[1] != "?"
    }
    if told.claims != claims:
        yield f"claims: {told.claims} for {claims}"


def differences(seeds: Sequence[int]) -> Iterator[str]:
    """Yield where the record and the model differ over the histories of these seeds."""
    histories = [History(seed) for seed in seeds]
    by_run = {event.run: each for each in histories for event in each.events}
    with recorded(event for each in histories for event in each.events) as reader:
        for number in range(_ASKED):
            asked = {_ref(each.targets[number]): each for each in histories if number < len(each.targets)}
            for forward in (False, True):
                told = _ask(reader, forward, asked, by_run)
                for each in asked.values():
                    target = each.targets[number]
                    for wrong in _wrong(each, target, forward, told[each.seed]):
                        yield f"seed {each.seed}, {'impact' if forward else 'trace'} of {_ref(target)}: {wrong}"


def one_way(seeds: Sequence[int]) -> Iterator[str]:
    """Yield the pairs of versions of which only one answer, trace or impact, names the other."""
    histories = [History(seed) for seed in seeds]
    by_run = {event.run: each for each in histories for event in each.events}
    listed = {each.seed: sorted({made.node for made in each.world.writes} | {read.node for read in each.world.reads}) for each in histories}
    found: dict[bool, set[tuple[int, Node, Node]]] = {False: set(), True: set()}
    with recorded(event for each in histories for event in each.events) as reader:
        for number in range(max(map(len, listed.values()))):
            asked = {_ref(listed[each.seed][number]): each for each in histories if number < len(listed[each.seed])}
            for forward, pairs in found.items():
                for seed, told in _ask(reader, forward, asked, by_run).items():
                    of = listed[seed][number]
                    pairs.update((seed, of, edge[1]) if not forward else (seed, edge[1], of) for edge in told.edges)
    agreed = found[False] & found[True]
    for each in histories:
        kin = {node: {node} | {other for other in listed[each.seed] if _makers(each, node) & _makers(each, other)} for node in listed[each.seed]}
        for _, later, earlier in sorted(pair for pair in found[False] ^ found[True] if pair[0] == each.seed):
            # One version may be known by several names: what was renamed holds what the old name held.
            if not any(one == other or (each.seed, one, other) in agreed for one in kin[later] for other in kin[earlier]):
                yield f"seed {each.seed}: trace and impact don't agree that {_ref(later)} came from {_ref(earlier)}"


def _makers(of: History, node: Node) -> set[Any]:
    return set(of.world.makers(*node))
