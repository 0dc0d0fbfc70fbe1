"""Two workspaces that run in one environment each record it by a run of their own, and what one sealed the other takes over."""

from __future__ import annotations

import filecmp
from pathlib import Path

from bundle_world import build_upon, world
from fresh_record import BEGUN
from stored_world import StoredWorld

from tracecore.testing.worlds import PROGRAM
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.catalog.current_state import environment_run, environment_runs
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.run import Environment, RunInput

HERE = Environment(f"sha256:{'e' * 64}", "3.11.7", "x86_64", "Debian GNU/Linux 12", (("numpy", "2.1.0", f"sha256:{'d' * 64}"),))


def ran_here(found: StoredWorld) -> str:
    """Record a run in that environment."""
    found.environment = HERE
    run = found.start("probe")
    found.record.recorder.complete(run, [RunInput("program", PROGRAM)], {})
    return run.id


def test_an_environment_is_recorded_once_a_workspace(tmp_path: Path) -> None:
    found = world(tmp_path / "w")
    runs = [ran_here(found), ran_here(found)]
    assert found.record.recorder.position() == BEGUN + 6
    with found.record.database.read() as connection:
        candidates = environment_runs(connection, HERE.digest, runs)
    assert candidates[0] == environment_run(found.record.ledger, HERE.digest)
    assert found.record.recorder.facets(f"run:{candidates[0]}")["tracecore_environment"]["machine"] == "x86_64"
    assert environment_run(LedgerName("vendor", "0" * 32), HERE.digest) != candidates[0]


def test_a_build_is_imported_where_its_environment_is_recorded_already(tmp_path: Path) -> None:
    vendor, auditor = world(tmp_path / "vendor"), world(tmp_path / "auditor", "auditor")
    ran_here(vendor)
    ran_here(auditor)
    vendor.all()
    vendor.seal()
    export_bundle(vendor.record.recorder, "demo", tmp_path / "demo.bundle")
    assert import_bundle(auditor.record.recorder, tmp_path / "demo.bundle").new
    assert auditor.record.verify()["ok"]
    export_bundle(auditor.record.recorder, "demo", tmp_path / "again.bundle")
    assert filecmp.cmp(tmp_path / "demo.bundle", tmp_path / "again.bundle", shallow=False)
    build_upon(auditor)
    assert auditor.record.verify("build/own")["ok"]
