"""Bodies of the Dagster steps: interrupts, failures in one sentence, and outcomes as materializations and check results."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from tracecore.errors import RunFailed, TracecoreError
from tracecore.running.task import Outcome
from tracecore.system.failures import reason_of
from tracecore_assets.define.metadata import artifact_metadata
from tracecore_assets.resolve import ResolvedAsset
from tracecore_lineage.trace.show import show
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import Artifact, CheckRun

if TYPE_CHECKING:
    from tracecore_assets.run.session import Session

__all__ = ["guarded", "materializations", "release_result"]


@contextmanager
def guarded(context: dg.AssetExecutionContext, sessions: Callable[[dg.AssetExecutionContext], Session], *, retries: int = 0) -> Iterator[Session]:
    """Yield the session (running program) of a Dagster step for a block. An error in it is stored as `session.failure` and reported to Dagster.

    `retries` is how often Dagster retries the step; the error of a failed stage is stored only at the last attempt.
    """
    try:
        with _plain_interrupts():
            session = sessions(context)
            if session.failure is not None:
                raise dg.Failure("Not started: the build had failed before.", allow_retries=False)  # noqa: TRY301  # a step must not start
            yield session
    except KeyboardInterrupt:
        sessions(context).interrupted = True
        raise DagsterExecutionInterruptedError from None
    except TracecoreError as error:
        last = not isinstance(error, RunFailed) or context.retry_number >= retries
        if last:
            _store_failure(context, sessions, error)
        raise dg.Failure(str(error), allow_retries=not last) from error
    except dg.Failure:
        raise
    except Exception as error:
        _store_failure(context, sessions, RunFailed(f"Something unexpected happened in {context.op_handle.name}: {reason_of(error)}."))
        raise


def _store_failure(context: dg.AssetExecutionContext, sessions: Callable[[dg.AssetExecutionContext], Session], error: TracecoreError) -> None:
    with suppress(TracecoreError):  # opening the session is what failed
        sessions(context).failure = error


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM inside the block (main thread only); Dagster's own handlers wait for the end of the step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def materializations(
    context: dg.AssetExecutionContext, session: Session, asset: ResolvedAsset, outcome: Outcome, keys: Mapping[str, dg.AssetKey]
) -> Iterator[dg.MaterializeResult[None]]:
    """Yield a Dagster materialization for each output of an asset, with metadata and check results. `keys`: asset key by output port."""
    for port, artifact in outcome.outputs.items():
        planned = [check.name for check in asset.checks if check.output == port]
        runs = {check.name: check for check in outcome.checks if check.target == artifact.ref}
        yield dg.MaterializeResult(
            asset_key=keys[port],
            data_version=dg.DataVersion(artifact.digest),
            metadata=_output_metadata(context, session, asset, artifact, outcome),
            check_results=[_check_result(runs[name], keys[port]) for name in planned if name in runs],
        )


def _output_metadata(
    context: dg.AssetExecutionContext, session: Session, asset: ResolvedAsset, artifact: Artifact, outcome: Outcome
) -> dict[str, dg.MetadataValue]:
    try:
        return artifact_metadata(
            artifact,
            outcome.run_id,
            reused=outcome.reused,
            store=session.store,
            inputs=session.inputs_of(asset.name),
            quarantine=session.record.query(show, f"run/{outcome.run_id}", workspace=session.record.workspace)["facets"].get("tracecore_quarantine"),
        )
    except Exception as error:  # noqa: BLE001  # a run that is recorded must not fail because a picture can't be drawn
        context.log.warning("The metadata of %s could not be made: %r", artifact.ref, error)
        return {"ref": dg.MetadataValue.text(artifact.ref)}


def _check_result(run: CheckRun, key: dg.AssetKey) -> dg.AssetCheckResult:
    columns = ("assertion", "column", "success", "expected", "actual")
    rows = [dg.TableRecord({name: "" if (value := getattr(outcome, name)) is None else value for name in columns}) for outcome in run.outcomes]
    unknowns = [dg.TableRecord({"what": unknown.what, "why": unknown.why}) for unknown in run.unknowns]
    metadata: dict[str, dg.MetadataValue] = {"run": dg.MetadataValue.text(f"run/{run.id}")}
    if rows:
        metadata["assertions"] = dg.MetadataValue.table(rows)
    if run.details:
        metadata["details"] = dg.MetadataValue.json(dict(run.details))
    if unknowns:
        metadata["unknowns"] = dg.MetadataValue.table(unknowns)
    return dg.AssetCheckResult(
        check_name=run.name.replace("-", "_"),
        asset_key=key,
        passed=run.success,
        severity=dg.AssetCheckSeverity.ERROR if run.severity is Severity.BLOCKING else dg.AssetCheckSeverity.WARN,
        description=run.message,
        metadata=metadata,
    )


def release_result(session: Session, key: dg.AssetKey) -> dg.MaterializeResult[None]:
    """Return the Dagster materialization of the build that a session sealed, with its ref, ledger position and gate outcomes."""
    sealed = session.sealed
    assert sealed is not None, "called after the build was sealed"
    gates = [
        dg.TableRecord(
            {
                "gate": gate.name,
                "outcome": "passed" if gate.passed else "waived",
                "measured": str(gate.measured),
                "required": str(gate.required),
                "found": gate.message,
            }
        )
        for gate in session.gates
    ]
    metadata: dict[str, dg.MetadataValue] = {
        "ref": dg.MetadataValue.text(sealed.ref),
        "position": dg.MetadataValue.int(sealed.position),
        "new": dg.MetadataValue.bool(sealed.new),
        "trace": dg.MetadataValue.md(f"`tracecore trace build/{sealed.name}`"),
    }
    if gates:
        metadata["gates"] = dg.MetadataValue.table(gates)
    digest = sealed.ref.rpartition("@")[2]
    return dg.MaterializeResult(asset_key=key, data_version=dg.DataVersion(f"sha256:{digest}"), metadata=metadata)
