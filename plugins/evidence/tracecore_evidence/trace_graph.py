"""A trace indexed for exporters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["Graph"]


@dataclass(frozen=True)
class Graph:
    """Indexed nodes, runs and edges of a trace in the form of `tracecore trace --json`."""

    trace: Mapping[str, Any]

    @cached_property
    def nodes(self) -> dict[str, Mapping[str, Any]]:
        """Artifacts by ref, sorted."""
        return {node["ref"]: node for node in sorted(self.trace["nodes"], key=lambda node: node["ref"])}

    @cached_property
    def runs(self) -> dict[str, Mapping[str, Any]]:
        """Runs by id, sorted."""
        return {run["id"]: run for run in sorted(self.trace["runs"], key=lambda run: run["id"])}

    @cached_property
    def maker(self) -> dict[str, str]:
        """Id of the run that wrote each artifact, by ref."""
        return {edge["ref"]: edge["run"] for edge in self.trace["edges"] if edge["direction"] == "output"}

    def made_from(self, ref: str) -> list[str]:
        """Return the sorted refs that the run which wrote an artifact read."""
        run = self.maker.get(ref)
        return sorted({edge["ref"] for edge in self.trace["edges"] if edge["run"] == run and edge["direction"] == "input"} - {ref})

    def unknowns_of(self, ref: str) -> list[str]:
        """Return the unknowns of an artifact as `what: why`."""
        return [f"{each['what']}: {each['why']}" for each in self.trace["unknowns"] if each["at"] == ref]
