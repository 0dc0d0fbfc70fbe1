"""tracecore: the kernel. What plugin authors import stands here; everything else is imported by its own name.

import tracecore as tc
"""

from tracecore.check import Check, CheckContext, CheckResult, SuiteCheck
from tracecore.errors import AnswerIsNo, RunFailed, TracecoreError, UsageProblem
from tracecore.exchange import Exporter, Importer
from tracecore.gate import Gate, GateEvidence, GateResult
from tracecore.hookspecs import hookimpl
from tracecore.observe import BuildSummary, RunSummary
from tracecore.stage import Context, Field, Files, Input, Lineage, Output, Params, SourceFile, Stage
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.summary import count, summarize

__all__ = [
    "AnswerIsNo",
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
    "Output",
    "Params",
    "RunFailed",
    "RunSummary",
    "SourceFile",
    "Stage",
    "StageKind",
    "SuiteCheck",
    "TracecoreError",
    "UsageProblem",
    "count",
    "hookimpl",
    "summarize",
]
