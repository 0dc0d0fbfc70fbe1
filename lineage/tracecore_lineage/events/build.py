"""Builds OpenLineage 2-0-2 RunEvents from the kernel's runs, using openlineage-python's classes.

An event's bytes are the canonical JSON (RFC 8785) of its members. Unset members of OpenLineage classes are left out; JSON given by stages is kept
unchanged, including nulls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from functools import cache
from importlib.metadata import version
from typing import Any

import attrs
import rfc8785
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    BaseFacet,
    documentation_job,
    error_message_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    source_code_location_job,
)

from tracecore.errors import UsageError
from tracecore_lineage.events import datasets
from tracecore_lineage.model import facets, rfc3339
from tracecore_lineage.model.erasure import Erasure
from tracecore_lineage.model.facets import producer
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import jcs
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, CheckRun, Environment, Parent, RunInput
from tracecore_schemas.run import Run as StageRun

__all__ = ["EventMaker", "event_bytes"]

_BUG = re.compile(r"bug/[0-9a-f]{12}")


def event_bytes(event: RunEvent) -> bytes:
    """Return an event as canonical JSON (RFC 8785). Raises UsageError if a value has none (NaN, an integer beyond 2^53 - 1, invalid Unicode)."""
    try:
        return jcs(plain(event))
    except (rfc8785.CanonicalizationError, TypeError) as error:
        raise UsageError(
            f"An event of job '{event.job.name}' can't be recorded: {error}. Expected JSON without NaN; integers beyond 2^53 - 1 travel as texts."
        ) from error


def plain(value: Any) -> Any:
    """Convert OpenLineage objects (events, facets) to JSON values, leaving out members that are None or empty by default."""
    if isinstance(value, facets.StageFacet):
        return {**value.members, "_producer": producer(), "_schemaURL": value.url}
    if attrs.has(type(value)):
        members = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
        defaults = {field.name for field in attrs.fields(type(value)) if field.default is not attrs.NOTHING}
        return {name: plain(member) for name, member in members.items() if not (member is None or (name in defaults and member in ({}, [])))}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


class EventMaker:
    """Builds the events of one ledger, whose slug is the namespace of all jobs and datasets."""

    def __init__(self, ledger: LedgerName) -> None:
        self.namespace = ledger.slug
        self._producer = ledger.producer

    def start(self, run: StageRun) -> bytes:
        """Return the START event of a stage's run as canonical JSON."""
        return self._stage_event(RunState.START, run, run.started_at)

    def complete(
        self,
        run: StageRun,
        inputs: Sequence[RunInput],
        outputs: Mapping[str, Artifact],
        run_facets: Mapping[str, Any] | None,
        ended_at: datetime,
    ) -> bytes:
        """Return the COMPLETE event of a stage's run as canonical JSON, with the exact versions that the run read and wrote."""
        further = {name: value if isinstance(value, BaseFacet) else facets.stage_facet(name, value) for name, value in (run_facets or {}).items()}
        return self._stage_event(
            RunState.COMPLETE,
            run,
            ended_at,
            further,
            [*(datasets.input_dataset(self.namespace, item) for item in _with_program(run, inputs)), *self._named_inputs(run)],
            [datasets.output_dataset(self.namespace, port, artifact) for port, artifact in outputs.items()],
        )

    def fail(self, run: StageRun, error: str, *, trace: str | None, inputs: Sequence[RunInput], aborted: bool, ended_at: datetime) -> bytes:
        """Return the FAIL event (ABORT if `aborted`) of a stage's run as canonical JSON, with its error and Python stack trace."""
        further: dict[str, Any] = {"errorMessage": error_message_run.ErrorMessageRunFacet(error, "python", trace, producer=producer())}
        if aborted:
            further["tracecore_abort"] = facets.TracecoreAbortRunFacet(error, producer=producer())
        state = RunState.ABORT if aborted else RunState.FAIL
        return self._stage_event(state, run, ended_at, further, [datasets.input_dataset(self.namespace, item) for item in _with_program(run, inputs)])

    def abort(self, started: Mapping[str, Any], why: str, ended_at: datetime) -> bytes:
        """Return the ABORT event of a run that is known only by its parsed START event; it repeats that event's facets."""
        again = Run(started["run"]["runId"], _kept(started["run"]))
        again.facets = {
            **(again.facets or {}),
            "errorMessage": error_message_run.ErrorMessageRunFacet(why, "python", producer=producer()),
            "tracecore_abort": facets.TracecoreAbortRunFacet(why, producer=producer()),
        }
        job = Job(started["job"]["namespace"], started["job"]["name"], _kept(started["job"]))
        return self.event(RunState.ABORT, again, job, ended_at)

    def check(self, check: CheckRun) -> tuple[bytes, bytes]:
        """Return the events (START, COMPLETE) of a finished check's run, whose inputs are the datasets that the check read."""
        parent = Parent(check.of_run, check.job.rpartition(".check.")[0] or check.job, self.namespace)
        common = {"parent": _parent(parent), "processing_engine": _engine()}
        found = facets.TracecoreCheckRunFacet(
            check.name,
            check.of_run,
            check.target,
            check.severity.value,
            check.success,
            check.message,
            dict(check.details),
            [asdict(unknown) for unknown in check.unknowns],
            producer=producer(),
        )
        inputs = datasets.checked_inputs(self.namespace, check)
        job = Job(self.namespace, check.job, {"jobType": _job_type("CHECK")})
        return (
            self.event(RunState.START, Run(check.id, dict(common)), job, check.started_at),
            self.event(RunState.COMPLETE, Run(check.id, {**common, "tracecore_check": found}), job, check.ended_at, inputs),
        )

    def environment(self, run_id: str, environment: Environment, recorded_at: datetime) -> tuple[bytes, bytes]:
        """Return (START, COMPLETE) of a run that records an environment's Python, machine and installed distributions."""
        facet = facets.TracecoreEnvironmentRunFacet(
            environment.digest,
            environment.python,
            environment.machine,
            environment.os,
            [{"name": name, "version": number, "digest": digest} for name, number, digest in environment.distributions],
            producer=producer(),
        )
        return self.fact("environment", run_id, {"tracecore_environment": facet}, recorded_at)

    def fact(
        self,
        verb: str,
        run_id: str,
        run_facets: Mapping[str, Any],
        at: datetime,
        *,
        inputs: Sequence[RunInput] = (),
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[bytes, bytes]:
        """Return (START, COMPLETE), both at time `at`, of a run of job `tracecore.<verb>`, which states a fact about the record (e.g. a new key).

        `run_facets` are the run facets of the COMPLETE, `inputs` the versions that the fact is about, `outputs` the outputs without
        a digest: their dataset facets by ref (`bug/<id>`).
        """
        job = Job(self.namespace, f"tracecore.{verb}", {"jobType": _job_type(verb.upper())})
        common = {"processing_engine": _engine()}
        return (
            self.event(RunState.START, Run(run_id, dict(common)), job, at),
            self.event(
                RunState.COMPLETE,
                Run(run_id, {**common, **run_facets}),
                job,
                at,
                [datasets.input_dataset(self.namespace, item) for item in inputs],
                [datasets.named_output(self.namespace, name, verb, described) for name, described in (outputs or {}).items()],
            ),
        )

    def erasure(self, erasure: Erasure, at: datetime) -> bytes:
        """Return the event of an erasure's run: START with the plan if it is only planned, COMPLETE with the signed statement if it is done."""
        plan = None if erasure.done else erasure.document()
        run_facets: dict[str, Any] = {
            "processing_engine": _engine(),
            "tracecore_erasure": facets.TracecoreErasureRunFacet(plan, dict(erasure.envelope) if erasure.envelope else None, producer=producer()),
        }
        inputs: dict[str, InputDataset] = {}
        for touched in erasure.versions:
            tombstone = facets.TracecoreTombstoneDatasetFacet(
                erasure.what,
                erasure.reason,
                erasure.at,
                erasure.run,
                erasure.done,
                len(touched.files),
                touched.size_bytes,
                touched.rows,
                producer=producer(),
            )
            ref = parse_ref(touched.ref)
            digest = f"sha256:{(ref.version or '').removeprefix('sha256:')}"
            home = ref.segments[0] if ref.kind == "external" else None
            inputs[touched.ref] = datasets.touched_input(self.namespace, ref.kind, ref.segments[-1], digest, {"tracecore_tombstone": tombstone}, home)
        job = Job(self.namespace, f"tracecore.{erasure.what}", {"jobType": _job_type(erasure.what.upper())})
        return self.event(RunState.COMPLETE if erasure.done else RunState.START, Run(erasure.run, run_facets), job, at, list(inputs.values()))

    def event(
        self,
        state: RunState,
        run: Run,
        job: Job,
        at: datetime,
        inputs: Sequence[InputDataset] = (),
        outputs: Sequence[OutputDataset] = (),
    ) -> bytes:
        """Return an OpenLineage RunEvent with the given content as canonical JSON (RFC 8785)."""
        return event_bytes(
            RunEvent(
                eventTime=rfc3339.instant(at), producer=self._producer, run=run, job=job, eventType=state, inputs=list(inputs), outputs=list(outputs)
            )
        )

    def _named_inputs(self, run: StageRun) -> list[InputDataset]:
        """Return an input dataset for each bug ref (`bug/<id>`) in a run's parameters; its role is the parameter's name."""
        given = ((role, value if isinstance(value, (list, tuple)) else [value]) for role, value in sorted(run.params.items()))
        named = {(role, text) for role, values in given for text in values if isinstance(text, str) and _BUG.fullmatch(text)}
        return [datasets.named_input(self.namespace, text, role) for role, text in sorted(named)]

    def _stage_event(
        self,
        state: RunState,
        run: StageRun,
        at: datetime,
        further: Mapping[str, Any] | None = None,
        inputs: Sequence[InputDataset] = (),
        outputs: Sequence[OutputDataset] = (),
    ) -> bytes:
        """Return an event of a stage's run as canonical JSON, with the facets common to all events of the run and the run facets in `further`."""
        run_facets: dict[str, Any] = {"tracecore_execution": _execution(run), "processing_engine": _engine()}
        if run.parent is not None:
            run_facets["parent"] = _parent(run.parent)
        job_facets: dict[str, Any] = {"jobType": _job_type(run.stage.value.upper() if run.stage else "TASK")}
        if run.description:
            job_facets["documentation"] = documentation_job.DocumentationJobFacet(run.description, producer=producer())
        if run.code is not None:
            job_facets["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
                run.code.type, run.code.url, path=run.code.path, version=run.code.version, producer=producer()
            )
        return self.event(state, Run(run.id, {**run_facets, **(further or {})}), Job(self.namespace, run.job, job_facets), at, inputs, outputs)


def _with_program(run: StageRun, inputs: Sequence[RunInput]) -> Sequence[RunInput]:
    """Return the run's inputs with its program (the YAML that defined it) first, unless the program is among them already."""
    if run.program is None or any(item.artifact.ref == run.program.ref for item in inputs):
        return inputs
    return [RunInput("program", run.program), *inputs]


def _kept(owner: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facets of a run or job in a parsed event, by name, as OpenLineage facets with the same `_schemaURL`."""
    return {name: facets.stage_facet(name, facet) for name, facet in owner.get("facets", {}).items()}


def _execution(run: StageRun) -> facets.TracecoreExecutionRunFacet:
    """Return the facet `tracecore_execution`: a run's stage, plugin, parameters, seed, staleness key, environment digest and hardware."""
    return facets.TracecoreExecutionRunFacet(
        run.stage.value if run.stage else None,
        None if run.plugin is None else asdict(run.plugin),
        dict(run.params),
        None if run.seed is None else str(run.seed),
        run.key,
        run.environment.digest if run.environment else None,
        run.host,
        run.accelerator,
        run.threads,
        producer=producer(),
    )


def _parent(parent: Parent) -> parent_run.ParentRunFacet:
    """Return OpenLineage's facet `parent`, which names a run's parent run and job."""
    return parent_run.ParentRunFacet(parent_run.Run(parent.run_id), parent_run.Job(parent.namespace, parent.job), producer=producer())


@cache
def _engine() -> processing_engine_run.ProcessingEngineRunFacet:
    """Return OpenLineage's facet `processing_engine` with the versions of tracecore and openlineage-python."""
    return processing_engine_run.ProcessingEngineRunFacet(version("tracecore"), "tracecore", version("openlineage-python"), producer=producer())


@cache
def _job_type(kind: str) -> job_type_job.JobTypeJobFacet:
    """Return OpenLineage's facet `jobType` for a tracecore job whose type is `kind`, for example `CHECK`."""
    return job_type_job.JobTypeJobFacet("BATCH", "TRACECORE", kind, producer=producer())
