"""The doctor names what is wrong in a workspace, and calls a live run or an orphan no fault.

Modules: `catalog/stored_artifacts.py`, `verify/doctor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from stored_world import StoredWorld

from tracecore.system.locks import hold_run
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.retention.recover import recover
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind

DATABASES = ("sqlite", "postgresql")


@pytest.fixture
def stored(database_url: str | None, tmp_path: Path) -> Iterator[StoredWorld]:
    made = StoredWorld.at(tmp_path / "workspace").all()
    yield made
    made.record.close()


def test_a_healthy_workspace_is_well(stored: StoredWorld) -> None:
    stored.seal()
    assert examine(stored.record.recorder) == {"ok": True, "open_runs": [], "orphans": [], "dangling": [], "problems": []}


def test_an_open_run_is_wrong_when_its_process_is_gone_and_right_while_it_lives(stored: StoredWorld) -> None:
    with Record.open(stored.record.workspace.root) as crashed:
        run = RecordWorld(crashed).start("model", StageKind.TRAIN)
    found = examine(stored.record.recorder)
    assert not found["ok"]
    assert [(entry["run"], entry["job"], entry["live"]) for entry in found["open_runs"]] == [(run.id, "demo.model", False)]
    with hold_run(stored.record.workspace.locks, run.id):
        found = examine(stored.record.recorder)
        assert (found["ok"], found["open_runs"][0]["live"]) == (True, True)


def test_what_no_event_names_is_an_orphan_and_no_fault(stored: StoredWorld) -> None:
    crashed = stored.record.recorder.new_run_id()
    (stored.store.staging(crashed) / "half").write_bytes(b"x")
    left = stored.file(b"left by a crash")
    newer = stored.table("demo.drives", __import__("stored_world").frames("east"))
    found = examine(stored.record.recorder)
    paths = {orphan["path"] for orphan in found["orphans"]}
    assert {f"store/staging/{crashed}", f"store/{left.location}"} <= paths
    assert any(path.startswith(f"store/{newer.location}/_delta_log/") for path in paths)
    assert found["ok"]
    recover(stored.record.recorder)
    assert f"store/staging/{crashed}" not in {orphan["path"] for orphan in examine(stored.record.recorder)["orphans"]}


def test_what_an_event_names_and_the_store_lacks_is_dangling(stored: StoredWorld) -> None:
    stored.path("engine").unlink()
    next(stored.path("drives").rglob("*.parquet")).unlink()
    found = examine(stored.record.recorder)
    assert not found["ok"]
    assert sorted(entry["ref"].partition("@")[0] for entry in found["dangling"]) == ["dataset/demo.drives", "engine/demo.engine"]


def test_keys_that_others_can_use_a_missing_key_and_a_cut_ledger_are_problems(stored: StoredWorld) -> None:
    [private] = stored.record.workspace.keys.glob("*.pem")
    private.chmod(0o644)
    [problem] = examine(stored.record.recorder)["problems"]
    assert "can be used by others than its owner (mode 644)" in problem
    private.unlink()
    stored.record.recorder.keys._loaded = None
    [problem] = examine(stored.record.recorder)["problems"]
    assert "is missing" in problem
    with stored.record.database.write() as connection:
        connection.execute(text("DELETE FROM ledger_event WHERE seq = 1"))
    assert any("run 'tracecore verify'" in problem for problem in examine(stored.record.recorder)["problems"])
