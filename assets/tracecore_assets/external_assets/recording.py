"""Writes what a foreign step came to into the record: one run, its exact inputs, its outputs, its checks; told twice it is recorded once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from tracecore.environment import accelerator, current_environment, host_name
from tracecore_assets.external_assets.step_record import CheckRecord, InputRecord, OutputRecord, StepRecord, external_namespace, partition_name
from tracecore_lineage.catalog import current_state
from tracecore_lineage.ledger.sql_tables import EDGES
from tracecore_schemas.facet_summary import summarize
from tracecore_schemas.kinds import ArtifactKind, Media, Severity
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, CheckRun, ExpectationOutcome, Parent, Run, RunInput, Unknown

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["JOB_PREFIX", "begin", "finish", "job_of"]

JOB_PREFIX = "dagster/"
"""First part of the jobs of foreign steps: no program's job has a slash."""

_BYTES = "an asset of Dagster's that no program of this workspace made: its version is recorded, its bytes are not kept"


def job_of(step: str) -> str:
    """Name the job of a step: the same whatever job of Dagster's runs it."""
    return f"{JOB_PREFIX}{step}"


def begin(record: Record, told: StepRecord) -> None:
    """Record START, unless it is recorded."""
    with record.database.read() as connection:
        known = current_state.start_event(connection, told.run) is not None
    if not known:
        record.start(_run(record, told))


def finish(record: Record, told: StepRecord) -> None:
    """Record how a step ended, unless it is recorded; then its checks. One that only checked what others made is no run beside its checks."""
    if told.outputs or told.error is not None or told.planned:
        _finish_run(record, told)
    for check in told.checks:
        _check(record, check)


def _finish_run(record: Record, told: StepRecord) -> None:
    begin(record, told)
    with record.database.read() as connection:
        ended = current_state.ending(connection, told.run)
    if ended is None and told.error is not None:
        record.fail(_run(record, told), told.error, inputs=list(_inputs(record, told)))
    elif ended is None:
        outputs = {partition_name(output.key, output.partition): _output(record, told, output) for output in told.outputs}
        record.complete(_run(record, told), list(_inputs(record, told)), outputs)


def _run(record: Record, told: StepRecord) -> Run:
    seen = bool(told.outputs) and all(output.observed for output in told.outputs)
    return Run(
        id=told.run,
        job=job_of(told.step),
        started_at=datetime.fromisoformat(told.started_at),
        environment=current_environment(),
        host=host_name(),
        accelerator=accelerator(),
        parent=Parent(told.dagster_run, told.dagster_job, record.namespace) if told.dagster_run else None,
        description="Looks at an asset outside, and says which version it has." if seen else "Makes assets of Dagster's that no program made.",
    )


def _inputs(record: Record, told: StepRecord) -> Iterator[RunInput]:
    for read in told.inputs:
        role = partition_name(read.key, read.partition)
        if read.ref is not None:
            ref = parse_ref(read.ref)
            yield RunInput(role, Artifact(ref.kind, ref.segments[0], f"sha256:{ref.version}"), read.producer or _maker(record, read.ref))
        else:
            yield RunInput(role, _foreign(record, read), _maker(record, _foreign(record, read).ref))


def _foreign(record: Record, read: InputRecord) -> Artifact:
    name = partition_name(read.key, read.partition)
    return Artifact(ArtifactKind.EXTERNAL, name, read.version, Media.NONE, namespace=external_namespace(record.namespace))


def _output(record: Record, told: StepRecord, output: OutputRecord) -> Artifact:
    stated = [Unknown("bytes", _BYTES), *(Unknown(what, why) for what, why in told.unknowns)]
    if not output.given:
        stated.append(Unknown("content version", "its version was computed by Dagster from code and input versions, not from its content"))
    return Artifact(
        ArtifactKind.EXTERNAL,
        partition_name(output.key, output.partition),
        output.version,
        Media.NONE,
        unknowns=tuple(stated),
        namespace=external_namespace(record.namespace),
        facets={
            "tracecore_dagster_asset": {
                "summary": summarize("Dagster asset, version given" if output.given else "Dagster asset, version computed", output.partition or ""),
                "key": output.key,
                "partition": output.partition,
                "version": "given" if output.given else "computed",
                "observed": output.observed,
                "code_version": output.code_version,
                "metadata": output.metadata,
            }
        },
    )


def _maker(record: Record, ref: str) -> str | None:
    """Return the run that made a version last, where one is recorded."""
    query = (
        select(EDGES.c.run_id)
        .where(EDGES.c.ref == ref, EDGES.c.direction == "output", EDGES.c.event_type == "COMPLETE")
        .order_by(EDGES.c.event_time.desc(), EDGES.c.event_id.desc())
        .limit(1)
    )
    with record.database.read() as connection:
        return connection.execute(query).scalar_one_or_none()


def _check(record: Record, check: CheckRecord) -> None:
    of_run = check.of_run or _maker(record, check.target)
    with record.database.read() as connection:
        known = current_state.ending(connection, check.id) is not None
    if known or of_run is None:
        return  # a version that the record doesn't know has nothing that a verdict could stand on
    ref = parse_ref(check.target)
    external = ref.kind == ArtifactKind.EXTERNAL
    target = Artifact(
        ref.kind,
        ref.segments[-1],
        str(ref.version) if external else f"sha256:{ref.version}",
        Media.NONE,
        namespace=ref.segments[0] if external else None,
    )
    at = datetime.fromisoformat(check.at).astimezone(UTC)
    record.check(
        CheckRun(
            id=check.id,
            job=f"{job_of(check.step)}.check.{check.name}",
            name=check.name,
            of_run=of_run,
            target=check.target,
            inputs=(RunInput("checked", target, of_run),),
            success=check.passed,
            # A check of somebody else's may stop their own assets; what a program's build may stand on its own checks decide.
            severity=Severity.BLOCKING if check.blocking and external else Severity.WARN,
            outcomes=(ExpectationOutcome(check.name, check.passed, actual=check.message),),
            message=check.message,
            started_at=at,
            ended_at=at,
            details=dict(check.metadata),
        )
    )
