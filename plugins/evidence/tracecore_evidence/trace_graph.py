"""A trace as exporters walk it: what each run read and wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["Graph"]


@dataclass(frozen=True)
class Graph:
    """The nodes, runs and edges of a trace, by their ids.

    Attributes:
        trace: in the shape of `tracecore trace --json`.
    """

    trace: Mapping[str, Any]

    @cached_property
    def nodes(self) -> dict[str, Mapping[str, Any]]:
        """Every artifact by ref, in order of ref."""
        return {node["ref"]: node for node in sorted(self.trace["nodes"], key=lambda node: node["ref"])}

    @cached_property
    def runs(self) -> dict[str, Mapping[str, Any]]:
        """Every run by id, in order of id."""
        return {run["id"]: run for run in sorted(self.trace["runs"], key=lambda run: run["id"])}

    @cached_property
    def maker(self) -> dict[str, str]:
        """The run that wrote each artifact."""
        return {edge["ref"]: edge["run"] for edge in self.trace["edges"] if edge["direction"] == "output"}

    def made_from(self, ref: str) -> list[str]:
        """Return the refs that the run behind an artifact read, in order."""
        run = self.maker.get(ref)
        return sorted({edge["ref"] for edge in self.trace["edges"] if edge["run"] == run and edge["direction"] == "input"} - {ref})

    def unknowns_of(self, ref: str) -> list[str]:
        """Return the unknowns of an artifact, in words."""
        return [f"{each['what']}: {each['why']}" for each in self.trace["unknowns"] if each["at"] == ref]
