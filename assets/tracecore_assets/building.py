"""`tracecore build`: runs a program's job in this process on the workspace's Dagster instance, and returns the sealed build."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import NegativeVerdict, RunFailed
from tracecore.kpis import Kpi, read_kpis
from tracecore.plugins.host import PluginHost
from tracecore.workspace import NamedWorkspace
from tracecore_assets.load.overrides import Overrides
from tracecore_assets.load.program import job_name
from tracecore_assets.load.recent_programs import keep_recent_program
from tracecore_assets.release.release import ReleaseRequest, WaiverText, read_request, refuse_other_program
from tracecore_assets.resolve import load_program, program_document
from tracecore_lineage.api.binding import make_workspace
from tracecore_schemas.build import GateOutcome, SealedBuild
from tracecore_schemas.run import CheckRun

if TYPE_CHECKING:
    from tracecore_assets.run.progress import Console
    from tracecore_assets.run.session import Session

__all__ = ["BuildAnswer", "BuildRefused", "build"]


@dataclass(frozen=True, slots=True)
class BuildAnswer:
    """Result of a build; artifacts are whole refs, and `rejected` those that a blocking check rejected.

    Attributes:
        sealed: the build; None if it was refused.
        reused: outputs of earlier runs.
        gates: empty if the run ended before them.
        failed: failed checks, blocking or not.
        kpis: KPIs of its reports, by the names that gates use.
        selection: roles of the KPI reports measured on selection frames, which are not headline KPIs.
    """

    sealed: SealedBuild | None
    made: tuple[str, ...]
    reused: tuple[str, ...]
    rejected: tuple[str, ...]
    gates: tuple[GateOutcome, ...]
    failed: tuple[CheckRun, ...]
    kpis: Mapping[str, Kpi]
    selection: tuple[str, ...] = ()

    @property
    def judged(self) -> list[str]:
        """Refs (`kind/name@digest`) of the KPI reports that have a KPI which failed its gate, waived or not."""
        failed = {gate.name for gate in self.gates if not gate.passed}
        ends = {f".{kpi.role}" for name, kpi in self.kpis.items() if name in failed}
        return [ref for ref in (*self.made, *self.reused) if ref.startswith("kpi_report/") and ref.partition("@")[0].endswith(tuple(ends))]

    def document(self) -> dict[str, Any]:
        """Return the build's result as JSON in the format of `build --json` (public contract, version 2)."""
        return {
            "build": self.sealed.ref if self.sealed else None,
            "made": list(self.made),
            "reused": list(self.reused),
            "rejected": list(self.rejected),
            "gates": [
                {"name": gate.name, "passed": gate.passed, "waived": gate.waived, "measured": gate.measured, "required": gate.required}
                for gate in self.gates
            ],
            "selection": list(self.selection),
        }


class BuildRefused(NegativeVerdict):
    """A blocking check or a gate failed; `answer` is the result without a sealed build."""

    def __init__(self, message: str, answer: BuildAnswer) -> None:
        super().__init__(message)
        self.answer = answer


def build(
    workspace: NamedWorkspace | Path | str | None,
    name: str,
    program: str | Path = "reference",
    *,
    overrides: Overrides | None = None,
    approver: str | None = None,
    waivers: Sequence[WaiverText] = (),
    console: Console | None = None,
) -> BuildAnswer:
    """Make a program's missing and stale assets, run checks and gates, seal the build (sign its manifest into the ledger) and return the result.

    Args:
        workspace: created if it does not exist; None for the default one of the settings.
        program: name of a shipped program, or a path.
        approver: person who approves the build and its waivers.
        waivers: failed gates to accept, each with a reason and an end date.

    Raises UsageError for bad input, RunFailed if a stage failed, BuildRefused if a blocking check or a gate failed, KeyboardInterrupt if interrupted;
    the running stage is then recorded as aborted.
    """
    changes = overrides or Overrides()
    named = NamedWorkspace.of(workspace)
    host = PluginHost.load(named.settings)
    resolved = load_program(program, changes, host=host)
    request = read_request(resolved, name, approver, waivers)
    program_document(resolved)  # reports missing files before a workspace is made
    opened = make_workspace(named)

    from tracecore_assets.run.session import Session

    run_id = str(uuid.uuid4())
    session = Session(resolved, opened, host, run=run_id, progress=console)
    try:
        refuse_other_program(session, request)
        keep_recent_program(opened, resolved.name, program, changes)
        _run_job(session, request, run_id)
        return _build_answer(session)
    finally:
        session.close()


def _run_job(session: Session, request: ReleaseRequest, run_id: str) -> None:
    """Run a program's Dagster job in this process. Raises the error that stopped it; BuildRefused if a blocking check or a gate failed."""
    # Imported late: Dagster takes seconds, and errors of the program are reported before it is needed.
    from tracecore_assets.define.definitions import definitions, release_config
    from tracecore_assets.run.instance import dagster_instance, process_tags

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    job = definitions(session.program, lambda _context: session).resolve_job_def(job_name(session.program.name))
    config = {**release_config(session.program, request), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dagster_instance(session.workspace) as instance:
        result = job.execute_in_process(
            instance=instance, run_config=config, raise_on_error=False, run_id=run_id, tags={"tracecore/build": request.name, **process_tags()}
        )
    if result.success:
        return
    failure = session.failure
    if failure is None:
        errors = (getattr(event.event_specific_data, "error", None) for event in result.all_events)
        error = next((error for error in errors if error is not None), None)
        # An interrupt between two steps reaches only Dagster.
        if session.interrupted or (error is not None and error.cls_name == "DagsterExecutionInterruptedError"):
            raise KeyboardInterrupt
        reason = " ".join(error.message.split()) if error is not None else "no reason was given"
        raise RunFailed(f"Dagster could not run the build: {reason}.")
    if isinstance(failure, NegativeVerdict):
        raise BuildRefused(str(failure), _build_answer(session)) from failure
    raise failure


def _build_answer(session: Session) -> BuildAnswer:
    outcomes = session.outcomes.values()
    made = tuple(artifact.ref for outcome in outcomes if not outcome.reused for artifact in outcome.outputs.values())
    reused = tuple(artifact.ref for outcome in outcomes if outcome.reused for artifact in outcome.outputs.values())
    rejected = tuple(ref for outcome in outcomes for ref in sorted(outcome.rejected))
    failed = tuple(check for outcome in outcomes for check in outcome.checks if not check.success)
    reports = {
        session.program.asset(name).role(port): artifact.facets
        for name, outcome in session.outcomes.items()
        for port, artifact in outcome.outputs.items()
    }
    kpis = read_kpis(reports, session.selection)
    return BuildAnswer(session.sealed, made, reused, rejected, session.gates, failed, kpis, session.selection)
