"""One workspace, one record: a catalog or store that is gone, empty or another ledger's is refused by name, and nothing is written."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore.workspace import Workspace
from tracecore_lineage import Record

DATABASES = ("sqlite", "postgresql")


@pytest.fixture
def workspace(world: RecordWorld) -> Workspace:
    world.all()
    world.record.close()
    return world.record.workspace


def refused(workspace: Workspace, *said: str) -> None:
    with pytest.raises(UsageError) as told:
        Record.open(workspace.root)  # as a process does that starts now
    for part in (workspace.ledger_id, *said):
        assert part in str(told.value)


def test_a_workspace_is_bound_when_its_record_is_first_opened(database_url: str | None, workspace: Workspace) -> None:
    config = json.loads((workspace.root / "workspace.json").read_text())
    assert config["ledger_id"] == workspace.ledger_id
    assert config["store"] == "store"
    assert config["catalog"] == ("record.db" if database_url is None else config["catalog"])
    assert "@" not in config["catalog"]
    assert json.loads((workspace.store / "ledger.json").read_text()) == {"v": 1, "type": "tracecore.store", "ledger_id": workspace.ledger_id}


def test_a_catalog_that_is_unset_begins_no_second_ledger(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, database_url: str | None) -> None:
    if database_url is None:
        monkeypatch.setenv("TRACECORE_CATALOG_URL", f"sqlite:///{workspace.root / 'elsewhere.db'}")
    else:
        monkeypatch.delenv("TRACECORE_CATALOG_URL")
    refused(workspace, "holds no ledger", "whose catalog was", "TRACECORE_CATALOG_URL")
    assert not (workspace.root / "elsewhere.db").exists()


@pytest.mark.parametrize("lost", ["deleted", "empty"])
def test_a_database_that_is_lost_is_refused(workspace: Workspace, database_url: str | None, lost: str) -> None:
    if database_url is not None:
        pytest.skip("a file is what is deleted here")
    database = workspace.root / "record.db"
    database.unlink()
    for log in workspace.root.glob("record.db-*"):
        log.unlink()
    if lost == "empty":
        database.touch()
    refused(workspace, "holds no ledger")
    assert database.exists() == (lost == "empty")


def test_two_workspaces_never_share_a_catalog_or_a_store(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_CATALOG_URL", workspace.catalog_url)
    other = Workspace.create(tmp_path / "other", slug=workspace.slug)
    refused(other, workspace.ledger_id, "holds ledger", "TRACECORE_CATALOG_URL")
    assert other.binding() is None

    monkeypatch.delenv("TRACECORE_CATALOG_URL")
    thief = Workspace.create(tmp_path / "thief", slug=workspace.slug)
    shutil.copy(workspace.store / "ledger.json", thief.store / "ledger.json")
    refused(thief, workspace.ledger_id, "belongs to ledger")
    Record.open(other.root).close()


@pytest.mark.parametrize("lost", ["deleted", "another's", "damaged"])
def test_a_store_that_is_not_the_ledgers_is_refused(workspace: Workspace, lost: str) -> None:
    mark = workspace.store / "ledger.json"
    if lost == "deleted":
        mark.unlink()
    else:
        mark.write_text(json.dumps({"ledger_id": "0" * 32}) if lost == "another's" else "")
    refused(workspace, "whose store was store" if lost == "deleted" else "belongs to ledger")
    assert mark.exists() == (lost != "deleted"), "nothing is repaired in silence"


def test_a_copied_folder_keeps_its_ledger(workspace: Workspace, tmp_path: Path, database_url: str | None) -> None:
    shutil.copytree(workspace.root, tmp_path / "copy")
    with Record.open(tmp_path / "copy") as record:
        assert record.workspace.ledger_id == workspace.ledger_id
        assert record.recorder.position()


@pytest.mark.parametrize("lost", ["catalog", "store"])
def test_doctor_and_verify_answer_with_a_finding_where_opening_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: str
) -> None:
    if lost == "store":
        (workspace.store / "ledger.json").unlink()
    else:
        monkeypatch.setenv("TRACECORE_CATALOG_URL", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    where = ["--json", "--workspace", str(workspace.root)]
    doctor = CliRunner().invoke(cli, ["doctor", *where])
    found = json.loads(doctor.stdout)
    assert (doctor.exit_code, found["ok"], found["dangling"], found["orphans"], found["open_runs"]) == (1, False, [], [], [])
    [problem] = found["problems"]
    assert workspace.ledger_id in problem
    assert "All is well" not in CliRunner().invoke(cli, ["doctor", *where[1:]]).stdout

    verify = CliRunner().invoke(cli, ["verify", *where])
    [failure] = json.loads(verify.stdout)["failures"]
    assert (verify.exit_code, json.loads(verify.stdout)["ok"], failure["ref"], failure["found"]) == (1, False, lost, "none")
    assert workspace.ledger_id in failure["expected"]
    assert "NOT verified, 1 failure" in CliRunner().invoke(cli, ["verify", *where[1:]]).stdout


def test_doctor_names_a_damaged_head_and_a_mark_that_can_not_be_read(workspace: Workspace, database_url: str | None) -> None:
    mark = workspace.store / "ledger.json"
    kept = mark.read_bytes()
    mark.unlink()
    mark.mkdir()
    doctor = CliRunner().invoke(cli, ["doctor", "--workspace", str(workspace.root)])
    assert (doctor.exit_code, "ledger.json" in doctor.output) == (1, True)
    mark.rmdir()
    mark.write_bytes(kept)
    if database_url is None:
        with sqlite3.connect(workspace.root / "record.db") as database:
            database.execute("DELETE FROM ledger_head")
        doctor = CliRunner().invoke(cli, ["doctor", "--workspace", str(workspace.root)])
        assert (doctor.exit_code, "its row is gone" in doctor.output) == (1, True)
