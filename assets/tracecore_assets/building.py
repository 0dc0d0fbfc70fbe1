"""`tracecore build`: a program's job, run in process on the workspace's Dagster instance, to a sealed build."""

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
from tracecore_assets.load.recent_programs import remember
from tracecore_assets.release.release import ReleaseRequest, WaiverText, read_request, refuse_other_program
from tracecore_assets.resolve import load_program, program_document
from tracecore_lineage.api.binding import make_workspace
from tracecore_schemas.build import GateOutcome, SealedBuild
from tracecore_schemas.run import CheckRun

if TYPE_CHECKING:
    from tracecore_assets.resolve import ResolvedProgram
    from tracecore_assets.run.progress import Console
    from tracecore_assets.run.session import Session

__all__ = ["BuildAnswer", "BuildRefused", "build"]


@dataclass(frozen=True, slots=True)
class BuildAnswer:
    """The result of a build.

    Attributes:
        sealed: the build; None where it was refused.
        made: whole refs of the outputs that were made.
        reused: of those that were there already.
        rejected: of those that a blocking check rejected.
        gates: outcomes of the release's gates; empty where it did not come to them.
        failed: checks that failed, blocking or not.
        kpis: of its reports, by the names that gates find them by.
        selection: roles of the KPI reports of selection, which are no headline.
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
        """Whole refs of the KPI reports that failed gates on KPIs read."""
        failed = {gate.name for gate in self.gates if not gate.passed}
        ends = {f".{kpi.role}" for name, kpi in self.kpis.items() if name in failed}
        return [ref for ref in (*self.made, *self.reused) if ref.startswith("kpi_report/") and ref.partition("@")[0].endswith(tuple(ends))]

    def document(self) -> dict[str, Any]:
        """Return the answer in the shape of `build --json` (public contract, version 2)."""
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
    """A check or a gate said no; `answer` holds how far it came."""

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
    """Make what is missing or stale of a program, run checks and gates, and seal the build.

    Args:
        workspace: where; made where there is none.
        name: of the build.
        program: a shipped program's name, or a path.
        overrides: what the command line changes in it.
        approver: who approves the build.
        waivers: failed gates to let pass.
        console: shown the progress.

    Raises:
        UsageError: bad input.
        RunFailed: a stage failed.
        BuildRefused: a blocking check or a gate failed; no build is made.
        KeyboardInterrupt: somebody stopped it; the running stage is recorded as aborted.
    """
    changes = overrides or Overrides()
    named = NamedWorkspace.of(workspace)
    host = PluginHost.load(named.settings)
    wired = load_program(program, changes, host=host)
    request = read_request(wired, name, approver, waivers)
    program_document(wired)  # a file that is not there is said before a workspace is made
    place = make_workspace(named)

    from tracecore_assets.run.session import Session

    run_id = str(uuid.uuid4())
    session = Session(wired, place, host, run=run_id, progress=console)
    try:
        refuse_other_program(session, request)
        remember(place, wired.name, program, changes)
        _run(session, wired, request, run_id)
        return _answer(session)
    finally:
        session.close()


def _run(session: Session, wired: ResolvedProgram, request: ReleaseRequest, run_id: str) -> None:
    # Imported only now: Dagster takes seconds, and whatever is wrong with a program should be said at once.
    from tracecore_assets.define.definitions import definitions, release_config
    from tracecore_assets.run.instance import dagster_instance, process_tags

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    job = definitions(wired, lambda _context: session).resolve_job_def(job_name(wired.name))
    config = {**release_config(wired, request), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dagster_instance(session.workspace) as instance:
        result = job.execute_in_process(
            instance=instance, run_config=config, raise_on_error=False, run_id=run_id, tags={"tracecore/build": request.name, **process_tags()}
        )
    if result.success:
        return
    failure = session.failure
    if failure is None:
        error = _first_error(result)
        # An interrupt that met Dagster between two steps is told by Dagster alone.
        if session.interrupted or (error is not None and error.cls_name == "DagsterExecutionInterruptedError"):
            raise KeyboardInterrupt
        reason = " ".join(error.message.split()) if error is not None else "no reason was given"
        raise RunFailed(f"Dagster could not run the build: {reason}.")
    if isinstance(failure, NegativeVerdict):
        raise BuildRefused(str(failure), _answer(session)) from failure
    raise failure


def _first_error(result: Any) -> Any:
    return next((error for event in result.all_events if (error := getattr(event.event_specific_data, "error", None)) is not None), None)


def _answer(session: Session) -> BuildAnswer:
    made: list[str] = []
    reused: list[str] = []
    rejected: list[str] = []
    for outcome in session.outcomes.values():
        (reused if outcome.reused else made).extend(artifact.ref for artifact in outcome.outputs.values())
        rejected.extend(sorted(outcome.rejected))
    failed = tuple(check for outcome in session.outcomes.values() for check in outcome.checks if not check.success)
    reports = {
        session.wired.asset(name).role(port): artifact.facets
        for name, outcome in session.outcomes.items()
        for port, artifact in outcome.outputs.items()
    }
    return BuildAnswer(
        session.sealed, tuple(made), tuple(reused), tuple(rejected), session.gates, failed, read_kpis(reports, session.selection), session.selection
    )
