"""A trace as a graph of nodes, and as Mermaid and DOT text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

from tracecore_lineage.present.words import kind_of_node, short_ref
from tracecore_schemas.kinds import UNRANKED
from tracecore_schemas.trace import Edge, Node, RunNode, Trace

__all__ = ["TraceGraph", "Versions", "dot", "mermaid"]

_MEASURING = ("evaluate", "diagnose")
"""Stages that measure the product. Their results, and what is made from them, are drawn after the chain from drives to engine."""


class Versions:
    """Nodes to draw for the versions of a trace; an external version made by several runs has one node per run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        made: dict[str, dict[str, None]] = {}
        for edge in trace["edges"]:
            if edge["direction"] == "output" and not edge["inferred"] and edge["ref"].startswith("external/"):
                made.setdefault(edge["ref"], {})[edge["run"]] = None
        self._several = {ref: runs for ref, runs in made.items() if len(runs) > 1}

    def key(self, edge: Edge) -> str:
        """Return the key of the node for an edge's version: its ref, or `<ref> by run/<id>` if several runs made it and the edge names one."""
        run = edge["run"] if edge["direction"] == "output" else edge.get("made_by")
        return _by(edge["ref"], run) if run is not None and run in self._several.get(edge["ref"], ()) else edge["ref"]

    def each(self, ref: str) -> dict[str, str]:
        """Return {node key: id of the making run} for another producer's version that several runs made; empty for a version with one maker."""
        return {_by(ref, run): run for run in self._several.get(ref, ())}

    def nodes(self) -> dict[str, Node]:
        """Return {key: node} in trace order. A version made by several runs has a node per run, and another if an edge or the root names no run."""
        whole = {self._trace["root"], *map(self.key, self._trace["edges"])}
        found: dict[str, Node] = {}
        for node in self._trace["nodes"]:
            each = self.each(node["ref"])
            found.update(dict.fromkeys([*([node["ref"]] if not each or node["ref"] in whole else []), *each], node))
        return found


def _by(ref: str, run: str) -> str:
    return f"{ref} by run/{run}"


@dataclass(frozen=True, slots=True)
class TraceGraph:
    """The nodes of a trace, and the nodes behind each of them, seen from the root.

    Attributes:
        nodes: nodes by key: a ref, with its run if several runs made it.
        run_of: the run that made each node, by node key.
        behind: keys of the nodes directly behind each node, in drawing order.
    """

    trace: Trace
    nodes: dict[str, Node]
    run_of: dict[str, RunNode]
    behind: dict[str, list[str]]

    @classmethod
    def of(cls, trace: Trace) -> TraceGraph:
        """Build the graph to draw for a trace: its nodes, and for each node the nodes that it leads to in the trace's direction."""
        runs = {run["id"]: run for run in trace["runs"]}
        versions = Versions(trace)
        backward = trace["direction"] == "backward"
        before: dict[str, list[str]] = {}
        after: dict[str, list[str]] = {}
        for edge in trace["edges"]:
            (before if edge["direction"] == "input" else after).setdefault(edge["run"], []).append(versions.key(edge))
        source, target = (after, before) if backward else (before, after)
        behind: dict[str, dict[str, None]] = {}
        for run, refs in source.items():
            for ref in refs:
                behind.setdefault(ref, {}).update(dict.fromkeys(target.get(run, ())))
        nodes = versions.nodes()
        behind.setdefault(trace["root"], {}).update(dict.fromkeys(versions.each(trace["root"])))
        made = {key: runs[node["run"]] for key, node in nodes.items() if node["run"] in runs}
        made.update((key, runs[run]) for node in trace["nodes"] for key, run in versions.each(node["ref"]).items() if run in runs)
        graph = cls(trace, nodes, made, {ref: list(found) for ref, found in behind.items()})
        measured = graph.measurements() if backward else frozenset[str]()
        kinds = {ref: kind_of_node(node) for ref, node in nodes.items()}
        rank = {
            ref: (ref in measured, kind.rank_measured if ref in measured else kind.rank, place) for place, (ref, kind) in enumerate(kinds.items())
        }
        last = (True, UNRANKED, len(rank))
        return cls(trace, nodes, made, {ref: sorted(found, key=lambda ref: rank.get(ref, last)) for ref, found in graph.behind.items()})

    def measurements(self) -> frozenset[str]:
        """Return the keys of measurements, such as KPI reports, and of nodes except builds that lead to one (backward: that are made from one)."""
        found: set[str] = set()
        for ref in self._deepest_first():
            run = self.run_of.get(ref)
            measured = (ref in self.nodes and kind_of_node(self.nodes[ref]).measured) or (run is not None and run["stage"] in _MEASURING)
            if not ref.startswith("build/") and (measured or not found.isdisjoint(self.behind.get(ref, ()))):
                found.add(ref)
        return frozenset(found)

    def roots(self) -> list[str]:
        """Return the keys where drawing starts: the trace's root and, in a forward trace or if the root has no node, nodes without a predecessor."""
        root = self.trace["root"]
        if root in self.nodes and self.trace["direction"] == "backward":
            return [root]
        reached = {ref for refs in self.behind.values() for ref in refs}
        # Forward, a version may be reached under another name, or through a version appended to it.
        return [*([root] if root in self.nodes else []), *(ref for ref in self.nodes if ref not in reached and ref != root)]

    def reduced(self) -> dict[str, list[str]]:
        """Return {node key: keys it leads to} without edges that longer paths imply. Paths via measurements imply only edges to measurements."""
        measured = self.measurements()
        shared = {ref for others in self.behind.values() if len(others) > 1 for ref in others}
        places = {ref: 1 << place for place, ref in enumerate(ref for ref in self.nodes if ref in shared)}
        reach: dict[str, int] = {}
        for ref in self._deepest_first():
            reach[ref] = reduce(or_, (reach[other] | places.get(other, 0) for other in self.behind.get(ref, ()) if other in reach), 0)
        left: dict[str, list[str]] = {}
        for ref, others in self.behind.items():
            main = reduce(or_, (reach.get(other, 0) for other in others if other not in measured), 0)
            every = reduce(or_, (reach.get(other, 0) for other in others if other in measured), main)
            left[ref] = [other for other in others if not (every if other in measured else main) & places.get(other, 0)]
        return left

    def _deepest_first(self) -> list[str]:
        """Return the node keys, each after all nodes that it leads to in the trace's direction; iterative, since a trace may be deep."""
        done: dict[str, None] = {}
        entered: set[str] = set()
        for start in self.nodes:
            stack = [start]
            while stack:
                ref = stack[-1]
                if ref in done:
                    stack.pop()
                    continue
                waiting = [other for other in self.behind.get(ref, ()) if other not in done and other not in entered]
                entered.add(ref)
                if waiting:
                    stack.extend(waiting)
                else:
                    done[ref] = None
                    stack.pop()
        return list(done)


def mermaid(trace: Trace) -> str:
    """Return a trace as a Mermaid flowchart."""
    versions = Versions(trace)
    names = _names(trace, versions)
    lines = ["flowchart LR"]
    lines += [f'  {names[key]}["{_mermaid_text(short_ref(key))}"]' for key in versions.nodes()]
    lines += [f'  {names[run["id"]]}(["{_mermaid_text(run["job"])}"])' for run in trace["runs"]]
    for start, end, role, inferred in _arrows(trace, versions, names):
        arrow = "-.->" if inferred else "-->"
        lines.append(f'  {start} {arrow}|"{_mermaid_text(role)}"| {end}' if role else f"  {start} {arrow} {end}")
    return "\n".join(lines) + "\n"


def dot(trace: Trace) -> str:
    """Return a trace as a DOT digraph."""
    versions = Versions(trace)
    names = _names(trace, versions)
    lines = ["digraph trace {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    lines += [
        f"  {names[key]} [shape=box, label={_quoted(short_ref(key))}, tooltip={_quoted(node['ref'])}];" for key, node in versions.nodes().items()
    ]
    lines += [f"  {names[run['id']]} [shape=ellipse, label={_quoted(run['job'])}, tooltip={_quoted('run/' + run['id'])}];" for run in trace["runs"]]
    for start, end, role, inferred in _arrows(trace, versions, names):
        lines.append(f"  {start} -> {end} [label={_quoted(role)}{', style=dashed' if inferred else ''}];")
    return "\n".join([*lines, "}"]) + "\n"


def _names(trace: Trace, versions: Versions) -> dict[str, str]:
    """Return {node key or run id: short identifier that is valid in Mermaid and DOT}."""
    named = {key: f"n{place}" for place, key in enumerate(versions.nodes())}
    return named | {run["id"]: f"r{place}" for place, run in enumerate(trace["runs"])}


def _arrows(trace: Trace, versions: Versions, names: dict[str, str]) -> list[tuple[str, str, str, bool]]:
    found: list[tuple[str, str, str, bool]] = []
    for edge in trace["edges"]:
        version, run = names.get(versions.key(edge)), names.get(edge["run"])
        if version is not None and run is not None:
            start, end = (version, run) if edge["direction"] == "input" else (run, version)
            found.append((start, end, edge["role"], edge["inferred"]))
    return found


def _mermaid_text(text: str) -> str:
    # Mermaid interprets quotes and markup in a label, and decodes HTML entities.
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "&#96;")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
