"""What a walk over the record has found so far, before it becomes an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tracecore_schemas.trace import Edge, Gap, StaticEdge

__all__ = ["Found"]


@dataclass(slots=True)
class Found:
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
        """Give the nodes that no run of this walk made."""
        return [ref for ref in self.levels if ref not in self.made_by]
