"""A trace as a graph of nodes alone: what to draw under what, each thing where a reader would look for it."""

from __future__ import annotations

from dataclasses import dataclass

from tracecore_schemas.trace import Node, RunNode, Trace

__all__ = ["TraceGraph"]


_RANK = {kind: place for place, kind in enumerate(("build", "engine", "model", "dataset", "label_batch", "kpi_report", "event_set", "drive_log"))}
"""What a reader looks for first: the product, what it was made from, then what was measured of it."""
_MEASURED = ("kpi_report/", "event_set/")
_MEASURING = ("evaluate", "diagnose")
"""What is measured of the product, and what comes of that, stands beside the line from drives to engine: after it, and what it reads is drawn
elsewhere too."""
_RANK_BESIDE = {kind: place for place, kind in enumerate(("kpi_report", "event_set", "data_request", "dataset"))}


@dataclass(frozen=True, slots=True)
class TraceGraph:
    """The nodes of a trace and what stands behind each of them, looking from the root.

    Attributes:
        trace: the answer that is drawn.
        nodes: by ref.
        run_of: the run that each node came from.
        behind: the nodes that stand directly behind each node, in the answer's order.
    """

    trace: Trace
    nodes: dict[str, Node]
    run_of: dict[str, RunNode]
    behind: dict[str, list[str]]

    @classmethod
    def of(cls, trace: Trace) -> TraceGraph:
        """Read a trace in the direction it was asked in."""
        runs = {run["id"]: run for run in trace["runs"]}
        backward = trace["direction"] == "backward"
        before: dict[str, list[str]] = {}
        after: dict[str, list[str]] = {}
        for edge in trace["edges"]:
            (before if edge["direction"] == "input" else after).setdefault(edge["run"], []).append(edge["ref"])
        source, target = (after, before) if backward else (before, after)
        behind: dict[str, dict[str, None]] = {}
        for run, refs in source.items():
            for ref in refs:
                behind.setdefault(ref, {}).update(dict.fromkeys(target.get(run, ())))
        nodes = {node["ref"]: node for node in trace["nodes"]}
        made = {ref: runs[node["run"]] for ref, node in nodes.items() if node["run"] in runs}
        graph = cls(trace, nodes, made, {ref: list(found) for ref, found in behind.items()})
        beside = graph.beside() if backward else frozenset[str]()
        ranks = {ref: _RANK_BESIDE if ref in beside else _RANK for ref in nodes}
        rank = {ref: (ref in beside, ranks[ref].get(node["kind"], len(_RANK)), place) for place, (ref, node) in enumerate(nodes.items())}
        last = (True, len(_RANK), len(rank))
        return cls(trace, nodes, made, {ref: sorted(found, key=lambda ref: rank.get(ref, last)) for ref, found in graph.behind.items()})

    def beside(self) -> frozenset[str]:
        """Give what was measured of the product, and everything made from that: it is no part of what the product was made from."""
        found: set[str] = set()
        for ref in self._deepest_first():
            run = self.run_of.get(ref)
            measured = ref.startswith(_MEASURED) or (run is not None and run["stage"] in _MEASURING)
            if not ref.startswith("build/") and (measured or not found.isdisjoint(self.behind.get(ref, ()))):
                found.add(ref)
        return frozenset(found)

    def roots(self) -> list[str]:
        """Give what to begin to draw with: the root, or what the run that was asked about made or read."""
        if self.trace["root"] in self.nodes:
            return [self.trace["root"]]
        reached = {ref for refs in self.behind.values() for ref in refs}
        return [ref for ref in self.nodes if ref not in reached]

    def reduced(self) -> dict[str, list[str]]:
        """Leave out what is reached through another neighbor as well: a release holds the dataset, but stands on it through the model."""
        beside = self.beside()
        reach: dict[str, int] = {}
        places = {ref: 1 << place for place, ref in enumerate(self.nodes)}
        for ref in self._deepest_first():
            reach[ref] = places.get(ref, 0)
            for other in self.behind.get(ref, ()):
                reach[ref] |= reach.get(other, 0)
        return {
            ref: [
                one
                for one in others
                if not any(reach.get(two, 0) & places.get(one, 0) for two in others if two != one and (two not in beside or one in beside))
            ]
            for ref, others in self.behind.items()
        }

    def _deepest_first(self) -> list[str]:
        """Order nodes so that whatever stands behind a node comes before it; without recursion, a trace may be deep."""
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
