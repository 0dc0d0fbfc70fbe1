"""tracecore: the kernel and the plugin API (`import tracecore as tc`).

Public are the names of this package, the modules in `PUBLISHED` and the schema modules in `SCHEMAS`, each by its `__all__`; the rest is internal.
"""

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tracecore.check import Check, CheckContext, CheckResult
from tracecore.errors import NegativeVerdict, RunFailed, TracecoreError, UsageError
from tracecore.gate import Gate, GateEvidence, GateResult, KpiReport, PreviousBuild
from tracecore.hookspecs import BuildSummary, Exporter, GateSummary, Importer, RunSummary, hookimpl
from tracecore.kpis import KpiSpec
from tracecore.plugins.built_in_checks import SuiteCheck
from tracecore.stage import Context, Field, Files, Input, Lineage, Output, Params, SourceFile, Stage, Table
from tracecore_schemas.arrow_tables import (
    CALIBRATIONS,
    DETECTIONS,
    EVENTS,
    FRAMES,
    LABELS,
    SIGNALS,
    SWEEPS,
    TRACKS,
    Column,
    TableType,
)
from tracecore_schemas.facets import FacetSpec, count, summarize
from tracecore_schemas.kinds import ArtifactKind, Severity, StageKind

if TYPE_CHECKING:
    from tracecore import artifacts, cli, engines, environment, errors, files, geometry, images, kpi_provenance, kpis, parity, testing
    from tracecore import images as draw
    from tracecore.artifacts import open_artifact
    from tracecore.environment import module_digest
    from tracecore.workspace import NamedWorkspace, Workspace
    from tracecore_schemas import arrow_tables as tables

__all__ = [
    "CALIBRATIONS",
    "DETECTIONS",
    "EVENTS",
    "FRAMES",
    "LABELS",
    "PUBLISHED",
    "SCHEMAS",
    "SIGNALS",
    "SWEEPS",
    "TRACKS",
    "ArtifactKind",
    "BuildSummary",
    "Check",
    "CheckContext",
    "CheckResult",
    "Column",
    "Context",
    "Exporter",
    "FacetSpec",
    "Field",
    "Files",
    "Gate",
    "GateEvidence",
    "GateResult",
    "GateSummary",
    "Importer",
    "Input",
    "KpiReport",
    "KpiSpec",
    "Lineage",
    "NamedWorkspace",
    "NegativeVerdict",
    "Output",
    "Params",
    "PreviousBuild",
    "RunFailed",
    "RunSummary",
    "Severity",
    "SourceFile",
    "Stage",
    "StageKind",
    "SuiteCheck",
    "Table",
    "TableType",
    "TracecoreError",
    "UsageError",
    "Workspace",
    "artifacts",
    "cli",
    "count",
    "draw",
    "engines",
    "environment",
    "errors",
    "files",
    "geometry",
    "hookimpl",
    "images",
    "kpi_provenance",
    "kpis",
    "module_digest",
    "open_artifact",
    "parity",
    "summarize",
    "tables",
    "testing",
]

PUBLISHED = MappingProxyType(
    {
        "artifacts": "tracecore.artifacts",
        "cli": "tracecore.cli",
        "draw": "tracecore.images",
        "engines": "tracecore.engines",
        "environment": "tracecore.environment",
        "errors": "tracecore.errors",
        "files": "tracecore.files",
        "geometry": "tracecore.geometry",
        "images": "tracecore.images",
        "kpi_provenance": "tracecore.kpi_provenance",
        "kpis": "tracecore.kpis",
        "parity": "tracecore.parity",
        "tables": "tracecore_schemas.arrow_tables",
        "testing": "tracecore.testing",
    }
)
"""The published modules by their name in `tc`; each is imported on first use, so that `import tracecore` stays light."""

SCHEMAS = ("campaign", "canonical", "coco", "conditions", "data_request", "facets", "file_shapes", "kinds", "openlabel", "refs", "run", "strict_json")
"""Public modules of `tracecore_schemas`; import them from there."""

_NAMES = {
    "NamedWorkspace": "tracecore.workspace",
    "Workspace": "tracecore.workspace",
    "module_digest": "tracecore.environment",
    "open_artifact": "tracecore.artifacts",
}


def __getattr__(name: str) -> Any:
    if name in PUBLISHED:
        return importlib.import_module(PUBLISHED[name])
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'tracecore' has no attribute {name!r}")
