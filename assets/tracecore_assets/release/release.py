"""Release, the last step of every build: evaluates the gates, applies waivers, seals the build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from tracecore.errors import NegativeVerdict, UsageError, suggestion
from tracecore.hookspecs import BuildSummary, GateSummary
from tracecore.system.failures import tellable
from tracecore_assets.load.program import Release
from tracecore_assets.release.gates import evaluate_gates, evidence_of, previous_build, unknowns_of_other_models
from tracecore_assets.resolve import ResolvedProgram
from tracecore_lineage.seal.seal import seal_build, sealed_build
from tracecore_schemas.build import GateOutcome, SealedBuild, SealRequest, Waiver
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.run import Artifact, CheckRun

if TYPE_CHECKING:
    from tracecore_assets.run.session import Session

__all__ = ["ReleaseRequest", "WaiverText", "read_request", "read_waivers", "refuse_other_program", "release", "waive"]


@dataclass(frozen=True, slots=True)
class WaiverText:
    """A waiver as given by the user, not yet validated; `until` is an ISO date."""

    gate: str
    reason: str
    until: str


def read_waivers(texts: Sequence[WaiverText], *, release: Release, approver: str | None, today: date) -> tuple[Waiver, ...]:
    """Return the validated waivers for gates of a release. `today` is the UTC date, before which no waiver may end.

    Raises UsageError for an unknown gate, an empty reason, an invalid or expired date, or a missing approver.
    """
    if texts and not approver:
        raise UsageError("A waiver is signed by the approver of the build: name one with --approver.")
    known = [gate.name for gate in release.gates]
    found: dict[str, Waiver] = {}
    for text in texts:
        if text.gate not in known:
            raise UsageError(f"--waive {text.gate}: the program has no such gate. {suggestion(text.gate, known, none_known='It has no gates.')}")
        if not text.reason.strip():
            raise UsageError(f"--waive {text.gate}: a waiver needs a reason; --reason is empty.")
        if text.gate in found:
            raise UsageError(f"--waive {text.gate}: the gate is waived twice.")
        found[text.gate] = Waiver(text.gate, text.reason.strip(), _parse_day(text, today), str(approver))
    return tuple(found.values())


def _parse_day(text: WaiverText, today: date) -> date:
    try:
        day = date.fromisoformat(text.until)
    except ValueError:
        raise UsageError(f"--waive {text.gate}: --until takes a day such as {today.isoformat()}, found {text.until!r}.") from None
    if day < today:
        raise UsageError(f"--waive {text.gate}: the waiver expired on {day.isoformat()}; today is {today.isoformat()} (UTC).")
    return day


def waive(outcomes: Iterable[GateOutcome], waivers: Sequence[Waiver]) -> tuple[tuple[GateOutcome, ...], tuple[Waiver, ...]]:
    """Return the gate outcomes, failed ones marked as waived if a waiver names their gate, and the waivers that were used."""
    by_gate = {waiver.gate: waiver for waiver in waivers}
    marked = tuple(replace(outcome, waived=not outcome.passed and outcome.name in by_gate) for outcome in outcomes)
    return marked, tuple(by_gate[outcome.name] for outcome in marked if outcome.waived)


_BUILD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A validated request to release a build."""

    name: str
    approver: str | None
    waivers: tuple[Waiver, ...]


def read_request(resolved: ResolvedProgram, name: str, approver: str | None, waivers: Sequence[WaiverText]) -> ReleaseRequest:
    """Return the validated request to release a build: its name, approver and waivers.

    Raises UsageError if the program has no release section, a required approver is missing, or the name or a waiver is invalid.
    """
    program = resolved.spec
    if not _BUILD_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid build name: expected letters, digits, '.', '_', '+' and '-', at most 100, a letter or digit first."
        )
    if program.release is None:
        raise UsageError(
            f"The program '{program.name}' has no release section, so nothing can be sealed as build/{name}:"
            " add 'release: {approver: required, gates: []}'."
        )
    approver = (approver or "").strip() or None
    for option, text in [("--approver", approver or ""), *(("--reason", waiver.reason) for waiver in waivers)]:
        if tellable(text) != text:
            raise UsageError(f"{option} '{tellable(text)}' is not UTF-8, so it can't be recorded.")
    if approver is None and program.release.approver == "required":
        raise UsageError(f"The program '{program.name}' requires an approver: name the approver of build/{name} with --approver.")
    today = datetime.now(UTC).date()
    return ReleaseRequest(name, approver, read_waivers(waivers, release=program.release, approver=approver, today=today))


def release(session: Session, request: ReleaseRequest) -> SealedBuild:
    """Evaluate the gates over all outputs of a program. If each passes or is waived, seal the build and return it; else record a failed run.

    Raises NegativeVerdict if a gate failed without a waiver or an output was rejected, UsageError if the name is sealed with other content.
    """
    release_section = session.program.spec.release
    assert release_section is not None, "read_request refuses programs without a release"
    artifacts, checks = _collect_evidence(session)
    run = session.new_run("release", "Judge the gates and seal the build.")
    # They require a trace of each artifact, so they are read only for a gate that needs them.
    reads_unknowns = any(session.host.gate(entry.gate).item.reads_unknowns for entry in release_section.gates)
    unknowns = session.unknowns() if reads_unknowns else ()
    evidence = evidence_of(
        artifacts, checks, unknowns, release_section, session.record, session.store, session.host,
        lambda: previous_build(session.record, session.program.name, request.name),
    )  # fmt: skip
    session.selection = tuple(report.role for report in evidence.reports if report.selection)
    gates, waivers = waive(evaluate_gates(release_section, evidence, session.host), request.waivers)
    session.gates = gates
    failed = [gate for gate in gates if not gate.passed and not gate.waived]
    if failed:
        reasons = "; ".join(f"gate {gate.name} failed: {gate.message.rstrip('.')}" for gate in failed)
        refusal = f"build/{request.name} is not released: {reasons}{'' if reasons.endswith('?') else '.'}"
        # A refused release is recorded too, as a failed run.
        session.recorder.start(run)
        session.recorder.fail(run, refusal)
        raise NegativeVerdict(refusal)
    sealed = seal_build(
        session.recorder,
        SealRequest(
            name=request.name,
            run=run,
            program=session.program_artifact,
            artifacts=tuple((role, artifact, run_id) for role, (artifact, run_id) in artifacts.items()),
            gates=gates,
            waivers=waivers,
            approver=request.approver,
            selection=session.selection,
            unknowns=unknowns_of_other_models(evidence.reports, _models_by_engine(session)),
        ),
    )
    summaries = tuple(GateSummary(gate.name, gate.passed, gate.waived) for gate in gates)
    session.host.notify("build_sealed", BuildSummary(sealed.name, sealed.ref, sealed.position, summaries))
    return sealed


def _collect_evidence(session: Session) -> tuple[dict[str, tuple[Artifact, str]], list[CheckRun]]:
    """Return (artifact, run id) of all outputs by role (name in the build), and all check runs. Raises NegativeVerdict for a rejected output."""
    artifacts: dict[str, tuple[Artifact, str]] = {}
    checks: list[CheckRun] = []
    for asset in session.program.assets:
        outcome = session.ensure(asset.name)
        checks.extend(outcome.checks)
        artifacts |= {asset.role(port): (artifact, outcome.run_id) for port, artifact in outcome.outputs.items()}
        rejected = sorted(outcome.rejected)
        if rejected:
            raise NegativeVerdict(f"Nothing can be released that depends on {', '.join(rejected)}: a blocking check rejected it.")
    return artifacts, checks


def _models_by_engine(session: Session) -> dict[str, set[str]]:
    """Return the refs of the models that an engine was compiled from, for each engine made or reused in a session, by the engine's ref."""
    return {
        artifact.ref: {read.ref for read in session.inputs_of(name) if read.kind == ArtifactKind.MODEL}
        for name, outcome in session.outcomes.items()
        for artifact in outcome.outputs.values()
        if artifact.kind == ArtifactKind.ENGINE
    }


def refuse_other_program(session: Session, request: ReleaseRequest) -> None:
    """Raise UsageError if a build of the requested name is already sealed (signed) from another vehicle program or with other parameters."""
    known = session.record.query(sealed_build, request.name)
    if known is not None and known.statement["predicate"]["program"] != session.program_artifact.ref:
        raise UsageError(
            f"build/{request.name} is sealed already, from another program or other parameters; a build's name is written once: choose another name."
        )
