"""Records steps of external assets as runs; steps that could not be recorded when they ended are spooled to files and recorded later."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from tracecore.environment import accelerator, current_environment, host_name
from tracecore.files import make_folder, write_durably
from tracecore.workspace import Workspace
from tracecore_assets.external_assets.step_record import CheckRecord, OutputRecord, StepRecord, external_namespace, partition_name
from tracecore_lineage.catalog import current_state
from tracecore_lineage.ledger.sql_tables import EDGES
from tracecore_schemas.facets import summarize
from tracecore_schemas.kinds import ArtifactKind, Media, Severity
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, CheckRun, ExpectationOutcome, Parent, Run, RunInput, Unknown

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_lineage.catalog.recorder import RecordWriter

__all__ = ["JOB_PREFIX", "begin", "finish", "pending", "record_pending", "spool"]

JOB_PREFIX = "dagster/"
"""Prefix of the jobs of external assets; jobs of programs have no slash."""

_BYTES = "an asset of Dagster's that no program of this workspace made: its version is recorded, its bytes are not kept"


def begin(recorder: RecordWriter, step: StepRecord) -> None:
    """Record START of an external Dagster step's run in the ledger, unless it is recorded already."""
    with recorder.database.read() as connection:
        known = current_state.start_event(connection, step.run) is not None
    if not known:
        recorder.start(_step_run(recorder, step))


def finish(recorder: RecordWriter, step: StepRecord) -> None:
    """Record the end of an external Dagster step and its checks, unless recorded. A step that only checked other steps' assets gets no run."""
    if step.outputs or step.error is not None or step.planned:
        _finish_run(recorder, step)
    for check in step.checks:
        _record_check(recorder, check)


def _finish_run(recorder: RecordWriter, step: StepRecord) -> None:
    """Record an external Dagster step's run as failed or completed, and its START if missing; do nothing if its end is recorded."""
    begin(recorder, step)
    with recorder.database.read() as connection:
        ended = current_state.ending(connection, step.run)
    if ended is None and step.error is not None:
        recorder.fail(_step_run(recorder, step), step.error, inputs=list(_run_inputs(recorder, step)))
    elif ended is None:
        outputs = {partition_name(output.key, output.partition): _output_artifact(recorder, step, output) for output in step.outputs}
        recorder.complete(_step_run(recorder, step), list(_run_inputs(recorder, step)), outputs)


def _step_run(recorder: RecordWriter, step: StepRecord) -> Run:
    seen = bool(step.outputs) and all(output.observed for output in step.outputs)
    return Run(
        id=step.run,
        job=f"{JOB_PREFIX}{step.step}",
        started_at=datetime.fromisoformat(step.started_at),
        environment=current_environment(),
        host=host_name(),
        accelerator=accelerator(),
        parent=Parent(step.dagster_run, step.dagster_job, recorder.namespace) if step.dagster_run else None,
        description="Looks at an asset outside, and says which version it has." if seen else "Makes assets of Dagster's that no program made.",
    )


def _run_inputs(recorder: RecordWriter, step: StepRecord) -> Iterator[RunInput]:
    """Yield the inputs of an external Dagster step, each with the id of the run that made it; None if that run is not recorded."""
    for read in step.inputs:
        role = partition_name(read.key, read.partition)
        if read.ref is not None:
            ref = parse_ref(read.ref)
            yield RunInput(role, Artifact(ref.kind, ref.segments[0], f"sha256:{ref.version}"), read.producer or _producing_run(recorder, read.ref))
        else:
            external = Artifact(ArtifactKind.EXTERNAL, role, read.version, Media.NONE, namespace=external_namespace(recorder.namespace))
            yield RunInput(role, external, _producing_run(recorder, external.ref))


def _output_artifact(recorder: RecordWriter, step: StepRecord, output: OutputRecord) -> Artifact:
    """Return the artifact recorded for a step's output, with a facet of its Dagster metadata and the facts that are not known about it."""
    stated = [Unknown("bytes", _BYTES), *(Unknown(what, why) for what, why in step.unknowns)]
    if not output.given:
        stated.append(Unknown("content version", "its version was computed by Dagster from code and input versions, not from its content"))
    return Artifact(
        ArtifactKind.EXTERNAL,
        partition_name(output.key, output.partition),
        output.version,
        Media.NONE,
        unknowns=tuple(stated),
        namespace=external_namespace(recorder.namespace),
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


def _producing_run(recorder: RecordWriter, ref: str) -> str | None:
    """Return the id of the last completed run that has the artifact `ref` as an output; None if no run is recorded."""
    query = (
        select(EDGES.c.run_id)
        .where(EDGES.c.ref == ref, EDGES.c.direction == "output", EDGES.c.event_type == "COMPLETE")
        .order_by(EDGES.c.event_time.desc(), EDGES.c.event_id.desc())
        .limit(1)
    )
    with recorder.database.read() as connection:
        return connection.execute(query).scalar_one_or_none()


def _record_check(recorder: RecordWriter, check: CheckRecord) -> None:
    """Record a check's evaluation as a run, unless it is recorded already or the checked version is not in the record."""
    of_run = check.of_run or _producing_run(recorder, check.target)
    with recorder.database.read() as connection:
        known = current_state.ending(connection, check.id) is not None
    if known or of_run is None:
        return  # the checked version is not in the record
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
    recorder.check(
        CheckRun(
            id=check.id,
            job=f"{JOB_PREFIX}{check.step}.check.{check.name}",
            name=check.name,
            of_run=of_run,
            target=check.target,
            inputs=(RunInput("checked", target, of_run),),
            success=check.passed,
            # External checks may block external assets only; artifacts of programs are blocked by their own checks.
            severity=Severity.BLOCKING if check.blocking and external else Severity.WARN,
            outcomes=(ExpectationOutcome(check.name, check.passed, actual=check.message),),
            message=check.message,
            started_at=at,
            ended_at=at,
            details=dict(check.metadata),
        )
    )


_log = logging.getLogger(__name__)


def _spool_folder(workspace: Workspace) -> Path:
    return workspace.dagster / "unrecorded"


def spool(workspace: Workspace, step: StepRecord) -> Path:
    """Save a step that could not be recorded: write it atomically to a file named after its run, and return the file's path."""
    folder = _spool_folder(workspace)
    make_folder(folder)
    file = folder / f"{step.run}.json"
    write_durably(file, step.dump())
    return file


def pending(workspace: Workspace) -> list[Path]:
    """Return the files of steps that are still to be recorded (see `spool`), oldest first."""
    found: list[tuple[int, Path]] = []
    for file in _spool_folder(workspace).glob("*.json"):
        with suppress(FileNotFoundError):  # another process has just recorded it
            found.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(found)]


def record_pending(record: Record) -> int:
    """Record each finished Dagster step that waits in a file of the workspace because it could not be recorded then; return how many now were.

    A recorded step's file is deleted. A step that can't be recorded now either is logged, and its file stays.
    """
    done = 0
    for file in pending(record.workspace):
        try:
            finish(record.recorder, StepRecord.load(file.read_bytes()))
        except FileNotFoundError:
            continue  # another process has just recorded it
        except Exception as error:  # noqa: BLE001  # a step that can't be recorded must not block the others
            _log.warning("The step kept in %s can't be recorded yet: %s", file, error)
            continue
        file.unlink(missing_ok=True)  # only after its COMPLETE is durable, so that a crash loses nothing
        done += 1
    return done
