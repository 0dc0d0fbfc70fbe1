"""Every hook that tracecore calls, in one place, with the exporters, importers and run summaries that they take.

Each hook is documented here, tested in tests/kernel and used by a plugin in plugins/.
"""

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
    """Return the stages a plugin brings.

    Returns:
        Stage classes; a program names them by `Stage.name`, or `<entry point>/<name>` where two plugins offer the same.
    """


@hookspec
def tracecore_register_checks() -> list[Check]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the checks a plugin brings.

    Returns:
        Check instances; stages and programs name them by `Check.name`.
    """


@hookspec
def tracecore_register_gates() -> list[Gate]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the release gates a plugin brings.

    Returns:
        Gate instances; a program's `release.gates` names them as `{gate: NAME}`.
    """


@hookspec
def tracecore_register_exporters() -> list[Exporter]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the export formats a plugin brings.

    Returns:
        Exporter instances, by name for `tracecore export --format`.
    """


@hookspec
def tracecore_register_importers() -> list[Importer]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the import formats a plugin brings.

    Returns:
        Importer instances, by name.
    """


@hookspec
def tracecore_register_commands() -> list[click.Command]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the CLI commands a plugin brings.

    Returns:
        Click commands, listed by `tracecore --help` with the core ones; a core command's name can't be taken.
    """


@hookspec
def tracecore_register_facets() -> list[FacetSpec]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the facets that a plugin's stages describe their outputs by.

    Returns:
        Facet specs; what a stage gives is checked by their schema before it is recorded.
    """


@hookspec
def tracecore_register_kpis() -> list[KpiSpec]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the KPIs that a plugin's evaluations report.

    Returns:
        KPIs and families of KPIs; their unit, direction, level and whether they are headlines are recorded with each report that has them.
    """


@hookspec
def tracecore_register_kinds() -> list[ArtifactKind]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the kinds of artifacts that a plugin's stages write.

    Returns:
        Kinds, which ports name by the object (`tc.Output(POINT_MAP)`); a built-in kind's name can't be taken.
    """


@hookspec
def tracecore_register_tables() -> list[TableType]:  # type: ignore[empty-body]  # a hook specification has no body
    """Return the table types that a plugin's stages write.

    Returns:
        Table types, which ports name by the object (`tc.Output(table=LANES)`); a built-in type's name can't be taken.
    """


@hookspec
def tracecore_run_started(run: RunSummary, settings: Mapping[str, str]) -> None:
    """See that a run has started: its START is durable.

    Args:
        run: without outputs.
        settings: plugins' own `TRACECORE_*` variables as the process read them when it began, by name without that prefix.
    """


@hookspec
def tracecore_run_finished(run: RunSummary, settings: Mapping[str, str]) -> None:
    """See that a run has ended: its terminal event is durable.

    Args:
        run: with its state, and its outputs or its error.
        settings: as above.
    """


@hookspec
def tracecore_build_sealed(build: BuildSummary, settings: Mapping[str, str]) -> None:
    """See that a build was sealed.

    Args:
        build: with its gates.
        settings: as above.
    """


class Exporter(Described, ABC):
    """Writes the trace of a build in one format (`tracecore export BUILD --format NAME`)."""

    name: ClassVar[str]

    @abstractmethod
    def export(self, trace: Mapping[str, Any], manifest: Mapping[str, Any], destination: Path) -> None:
        """Write a build's trace and manifest to a file."""


class Importer(Described, ABC):
    """Reads one file format as OpenLineage events (`tracecore import FILE`)."""

    name: ClassVar[str]

    @abstractmethod
    def events(self, source: Path) -> list[Mapping[str, Any]]:
        """Return the contents of a file as OpenLineage events."""


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
