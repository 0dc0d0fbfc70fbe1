"""Outcomes of the executor as Dagster events: materializations with their digests as data versions, and check results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from tracecore.running.task import Outcome
from tracecore_assets.metadata import artifact_metadata
from tracecore_assets.wiring import WiredAsset
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import Artifact, CheckRun

if TYPE_CHECKING:
    from tracecore_assets.session import Session

__all__ = ["materializations", "release_result"]


def materializations(
    context: dg.AssetExecutionContext, session: Session, asset: WiredAsset, outcome: Outcome, keys: Mapping[str, dg.AssetKey]
) -> Iterator[dg.MaterializeResult[None]]:
    """Give one event per output, with its checks."""
    for port, artifact in outcome.outputs.items():
        planned = [check.name for check in asset.checks if check.output == port]
        runs = {check.name: check for check in outcome.checks if check.target == artifact.ref}
        yield dg.MaterializeResult(
            asset_key=keys[port],
            data_version=dg.DataVersion(artifact.digest),
            metadata=_metadata(context, session, asset, artifact, outcome),
            check_results=[_check_result(runs[name], keys[port]) for name in planned if name in runs],
        )


def _metadata(
    context: dg.AssetExecutionContext, session: Session, asset: WiredAsset, artifact: Artifact, outcome: Outcome
) -> dict[str, dg.MetadataValue]:
    try:
        return artifact_metadata(
            artifact,
            outcome.run_id,
            reused=outcome.reused,
            store=session.store,
            inputs=session.inputs_of(asset.name),
            quarantine=session.record.show(f"run/{outcome.run_id}")["facets"].get("tracecore_quarantine"),
        )
    except Exception as error:  # noqa: BLE001  # a picture that can't be drawn must not fail a run that is in the record already
        context.log.warning("No metadata could be drawn of %s: %r", artifact.ref, error)
        return {"ref": dg.MetadataValue.text(artifact.ref)}


def _check_result(run: CheckRun, key: dg.AssetKey) -> dg.AssetCheckResult:
    rows = [
        dg.TableRecord(
            {
                "assertion": outcome.assertion,
                "column": outcome.column or "",
                "success": outcome.success,
                "expected": outcome.expected or "",
                "actual": outcome.actual or "",
            }
        )
        for outcome in run.outcomes
    ]
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
    """Give the event of a sealed build."""
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
