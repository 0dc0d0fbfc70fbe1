"""What is killed and broken: jobs that use the product as its commands do, each in a forked process of its own."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from two_stages import BuildPlan
from witness import Witness
from worker_orders import ORDERS, allow_tracing

__all__ = ["be", "warm"]

_NEEDED = (
    "deltalake",
    "openlineage.client.uuid",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "securesystemslib.dsse",
    "securesystemslib.signer",
    "tracecore.running.executor",
    "tracecore.store.parquet",
    "tracecore_assets.resolve",
    "tracecore_assets.release.release",
    "tracecore_assets.run.session",
    "tracecore_lineage.verify.doctor",
    "tracecore_lineage.events.build",
    "tracecore_lineage.model.facets",
    "tracecore_lineage.ledger.migrations.upgrade",
    "tracecore_lineage.verify.verify",
)
_WITH_DAGSTER = ("dagster", "tracecore_assets.building", "tracecore_assets.define.definitions", "tracecore_assets.run.instance")


@cache
def _host() -> Any:
    from tracecore.plugins.host import PluginHost

    return PluginHost.load()


def warm(*, dagster: bool) -> None:
    """Import what jobs need and take the digests of what is installed, without opening a record, a table or a thread."""
    for name in (*_NEEDED, *(_WITH_DAGSTER if dagster else ())):
        importlib.import_module(name)
    from tracecore.environment import accelerator, current_environment

    assert all(stage.plugin for stage in _host().stages)
    assert [stage.code for stage in _host().stages]
    assert current_environment().digest
    accelerator()


def be(asked: Mapping[str, Any]) -> int:
    """Be the process of one job; gives its exit code."""
    folder = Path(asked["folder"])
    gate = Path(asked["gate"]) if asked["gate"] else None
    if gate is not None:
        allow_tracing()
    if asked["worker"]:
        os.environ[ORDERS] = json.dumps(asked["worker"])
    witness = Witness(Path(asked["acks"]), folder / "phase", asked["kill"], (asked["since"], gate) if gate else None)
    if asked["plant"]:
        runpy.run_path(asked["plant"])
    job: Callable[..., dict[str, Any]] = _JOBS[asked["job"]]
    arguments = dict(asked["arguments"])
    if "plan" in arguments:
        arguments["plan"] = BuildPlan(**arguments["plan"])
    began = time.monotonic()
    code, result = _as_command(lambda: job(witness, **arguments))
    said = {**result, "timeline": witness.timeline, "seconds": time.monotonic() - began}
    (folder / "result").write_text(json.dumps(said), encoding="utf-8")
    return code


def _as_command(job: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """Run a job as the CLI shell runs a command: errors are one sentence on stderr and an exit code."""
    import click

    from tracecore.commands.shell import TracecoreGroup

    result: dict[str, Any] = {}

    @click.command("job")
    def command() -> None:
        result.update(job())

    group = TracecoreGroup("soak", core={}, plugin_commands=lambda _settings: {"job": command})
    try:
        group.main(["job"])
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else 0), result
    return 0, result


def _workspace(witness: Witness, root: str) -> Any:
    from tracecore.workspace import Workspace

    made = Workspace.create(root)
    witness.acknowledge(kind="workspace", slug=made.slug)
    witness.watch(made)
    return made


def _build(witness: Witness, plan: BuildPlan) -> dict[str, Any]:
    """Build and seal, as `tracecore build` does it, without Dagster."""
    from tracecore_assets.load.overrides import Overrides
    from tracecore_assets.release.release import read_request, refuse_other_program, release
    from tracecore_assets.resolve import load_program
    from tracecore_assets.run.session import Session

    overrides = Overrides((f"drives.salt={plan.salt}", f"model.salt={plan.salt}"), (plan.drives,), ())
    program = load_program(plan.program, overrides, host=_host())
    request = read_request(program, plan.name, "soak", [])
    session = Session(program, _workspace(witness, plan.workspace), _host(), run=str(uuid.uuid4()))
    try:
        refuse_other_program(session, request)
        sealed = release(session, request)
        digests = {artifact.name: artifact.digest for outcome in session.outcomes.values() for artifact in outcome.outputs.values()}
        return {"build": sealed.ref, "digests": digests}
    finally:
        session.close()


def _command(witness: Witness, plan: BuildPlan) -> dict[str, Any]:
    """Build by the command `tracecore build`, Dagster and all."""
    from tracecore.commands.shell import cli

    _workspace(witness, plan.workspace)
    settings = [part for asset in ("drives", "model") for part in ("--set", f"{asset}.salt={plan.salt}")]
    try:
        cli.main(
            ["build", plan.name, "--program", plan.program, "--drives", plan.drives, *settings, "--approver", "soak", "--workspace", plan.workspace]
        )
    except SystemExit as end:
        if end.code:
            raise
    return {}


def _events(seed: int, batch: int, size: int) -> list[bytes]:
    """Events of another producer: the same for the same seed."""
    made = []
    for number in range(size):
        run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}/{batch}/{number}"))
        for place, kind in enumerate(("START", "COMPLETE")):
            said = {
                "eventType": kind,
                "eventTime": f"2026-01-{batch % 28 + 1:02d}T10:{number % 60:02d}:{place:02d}.000Z",
                "run": {"runId": run},
                "job": {"namespace": "airflow", "name": f"load.{batch}.{number}"},
                "inputs": [{"namespace": "lake", "name": f"raw.{number}"}],
                "outputs": [{"namespace": "lake", "name": f"clean.{number}"}],
                "producer": "https://example.com/airflow",
                "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            }
            made.append(json.dumps(said).encode())
    return made


def _ingest(witness: Witness, workspace: str, seed: int, batches: int, size: int) -> dict[str, Any]:
    """Take in batches of another producer's events."""
    import hashlib

    from tracecore_lineage import Record

    made = _workspace(witness, workspace)
    with Record.open(made) as record:
        for batch in range(batches):
            events = _events(seed, batch, size)
            identities = [hashlib.sha256(body).hexdigest() for body in events]
            witness.acknowledge(kind="offered", events=identities)
            done = record.ingest(events)
            assert not done.refused, done.refused
            witness.acknowledge(kind="events", by="ingest", events=identities)
            witness.head(record.recorder)
    return {}


def _whole(witness: Witness, plan: BuildPlan) -> dict[str, Any]:
    """Build, seal, and ingest events of another producer."""
    built = _build(witness, plan)
    return {**built, **_ingest(witness, plan.workspace, plan.salt, 1, 2)}


def _recover(witness: Witness, workspace: str) -> dict[str, Any]:
    """Close what crashed runs left."""
    from tracecore_lineage import Record
    from tracecore_lineage.retention import recover

    with Record.open(_workspace(witness, workspace)) as record:
        done = recover.recover(record.recorder)
    return {"aborted": list(done.aborted), "removed": list(done.removed), "live": list(done.live)}


def _aftermath(witness: Witness, plan: BuildPlan, verify: bool) -> dict[str, Any]:
    """Start again after a crash: recover, look for what is wrong, and make the same build."""
    from tracecore_lineage import Record
    from tracecore_lineage.catalog.replay import catalog_differences
    from tracecore_lineage.retention import recover
    from tracecore_lineage.verify.doctor import examine

    with Record.open(_workspace(witness, plan.workspace)) as record:
        done = recover.recover(record.recorder)
    built = _build(witness, plan)
    with Record.open(plan.workspace) as record:
        doctor = examine(record.recorder)
        differences = [str(each) for each in record.query(catalog_differences, record.ledger)]
        verdict = record.verify() if verify else None
    failures = [] if verdict is None else _failures(verdict)
    return {**built, "recovered": len(done.aborted), "live": list(done.live), "doctor": doctor, "replay": differences, "verify": failures}


def _failures(verdict: Any) -> list[str]:
    said = verdict if isinstance(verdict, dict) else verdict.document()
    return [] if said["ok"] else [str(failure) for failure in said["failures"]] or ["verify says no and names nothing"]


_JOBS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "build": _build,
    "command": _command,
    "ingest": _ingest,
    "recover": _recover,
    "whole": _whole,
    "aftermath": _aftermath,
}

if __name__ == "__main__":
    sys.exit(os.EX_USAGE)
