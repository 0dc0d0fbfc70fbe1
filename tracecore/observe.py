"""What observers are shown: frozen summaries, so that a plugin can look at a run and never change it."""

from __future__ import annotations

from dataclasses import dataclass

from tracecore_schemas.kinds import RunState

__all__ = ["BuildSummary", "GateSummary", "RunSummary"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as observers see it; `outputs` are whole refs, empty until it completed; `error` is set when it failed."""

    id: str
    job: str
    stage: str
    plugin: str
    state: RunState
    outputs: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GateSummary:
    """One gate of a sealed build."""

    name: str
    passed: bool
    waived: bool


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """A sealed build: `ref` is whole, `position` the ledger position it names."""

    name: str
    ref: str
    position: int
    gates: tuple[GateSummary, ...]
