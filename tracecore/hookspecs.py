"""All pluggy hooks that tracecore calls, with the exporters, importers and summaries that they take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy

from tracecore.check import Check, Described
from tracecore_schemas.kinds import RunState

if TYPE_CHECKING:
    import click

    from tracecore.gate import Gate
    from tracecore.kpis import KpiSpec
    from tracecore.stage import Stage
    from tracecore_schemas.arrow_tables import TableType
    from tracecore_schemas.facets import FacetSpec
    from tracecore_schemas.kinds import ArtifactKind

__all__ = ["PROJECT", "BuildSummary", "Exporter", "GateSummary", "Importer", "RunSummary", "hookimpl", "hookspec"]

PROJECT = "tracecore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def tracecore_register_stages() -> list[type[Stage]]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return a plugin's stages.

    Returns:
        Stage classes; programs name them by `Stage.name`, or `<entry point>/<name>` if two plugins share a name.
    """


@hookspec
def tracecore_register_checks() -> list[Check]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return a plugin's checks.

    Returns:
        Check instances; stages and programs name them by `Check.name`.
    """


@hookspec
def tracecore_register_gates() -> list[Gate]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return a plugin's release gates.

    Returns:
        Gate instances; a program's `release.gates` names them as `{gate: NAME}`.
    """


@hookspec
def tracecore_register_exporters() -> list[Exporter]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return a plugin's export formats.

    Returns:
        Exporter instances; `tracecore export --format` names them.
    """


@hookspec
def tracecore_register_importers() -> list[Importer]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return a plugin's import formats.

    Returns:
        Importer instances.
    """


@hookspec
def tracecore_register_commands() -> list[click.Command]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return a plugin's CLI commands.

    Returns:
        Click commands, which `tracecore --help` lists; one named like a core command is ignored.
    """


@hookspec
def tracecore_register_facets() -> list[FacetSpec]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the facets that a plugin's stages write.

    Returns:
        Facet specs; each value is validated by its schema before it is recorded.
    """


@hookspec
def tracecore_register_kpis() -> list[KpiSpec]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the KPIs that a plugin's evaluations report.

    Returns:
        KPIs and KPI families; unit, direction, level and headline are recorded with each report.
    """


@hookspec
def tracecore_register_kinds() -> list[ArtifactKind]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the artifact kinds that a plugin adds.

    Returns:
        Kinds; ports take the object (`tc.Output(POINT_MAP)`), and built-in names can't be redefined.
    """


@hookspec
def tracecore_register_tables() -> list[TableType]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the table types that a plugin adds.

    Returns:
        Table types; ports take the object (`tc.Output(table=LANES)`), and built-in names can't be redefined.
    """


@hookspec
def tracecore_run_started(run: RunSummary, settings: Mapping[str, str]) -> None:
    """Handle the start of a run, after its START event is durable.

    Args:
        run: summary without outputs.
        settings: the plugins' `TRACECORE_*` variables, by name without the prefix, as read when the process started.
    """


@hookspec
def tracecore_run_finished(run: RunSummary, settings: Mapping[str, str]) -> None:
    """Handle the end of a run, after its terminal event is durable.

    Args:
        run: summary with the state, and the outputs or the error.
        settings: as for `tracecore_run_started`.
    """


@hookspec
def tracecore_build_sealed(build: BuildSummary, settings: Mapping[str, str]) -> None:
    """Handle the event that a build was sealed.

    Args:
        build: summary with its gates.
        settings: as for `tracecore_run_started`.
    """


class Exporter(Described, ABC):
    """Writes the trace of a build in one format (`tracecore export BUILD --format NAME`)."""

    name: ClassVar[str]

    @abstractmethod
    def export(self, trace: Mapping[str, Any], manifest: Mapping[str, Any], destination: Path) -> None:
        """Write a build's trace and manifest to the file `destination` in this exporter's format."""


class Importer(Described, ABC):
    """Reads one file format as OpenLineage events (`tracecore import FILE`)."""

    name: ClassVar[str]

    @abstractmethod
    def events(self, source: Path) -> list[Mapping[str, Any]]:
        """Return the content of a file in this importer's format as OpenLineage events."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as passed to hooks; `outputs` are full refs, empty until it completes; `error` is set if it failed."""

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
    """A sealed build as passed to hooks; `ref` is the full ref, `position` the ledger position that the build names."""

    name: str
    ref: str
    position: int
    gates: tuple[GateSummary, ...]
