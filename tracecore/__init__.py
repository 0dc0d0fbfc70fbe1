"""tracecore: the kernel. What plugin authors import stands here; everything else is imported by its own name.

import tracecore as tc
"""

from tracecore.check import Check, CheckContext, CheckResult, SuiteCheck
from tracecore.errors import NegativeVerdict, RunFailed, TracecoreError, UsageError
from tracecore.gate import Gate, GateEvidence, GateResult
from tracecore.hookspecs import BuildSummary, Exporter, Importer, RunSummary, hookimpl
from tracecore.stage import Context, Field, Files, Input, Lineage, Output, Params, SourceFile, Stage
from tracecore_schemas.facet_summary import count, summarize
from tracecore_schemas.kinds import StageKind

__all__ = [
    "BuildSummary",
    "Check",
    "CheckContext",
    "CheckResult",
    "Context",
    "Exporter",
    "Field",
    "Files",
    "Gate",
    "GateEvidence",
    "GateResult",
    "Importer",
    "Input",
    "Lineage",
    "NegativeVerdict",
    "Output",
    "Params",
    "RunFailed",
    "RunSummary",
    "SourceFile",
    "Stage",
    "StageKind",
    "SuiteCheck",
    "TracecoreError",
    "UsageError",
    "count",
    "hookimpl",
    "summarize",
]
