"""`tracecore workspace show|join|move`: what a workspace is bound to; a further host's folder signs once its key is recorded.

Modules: `commands/workspace.py`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore.workspace import Workspace
from tracecore_lineage import Record

SECRET = "s3cret#/?&p"


def run(*arguments: str, ok: int = 0) -> Result:
    result = CliRunner().invoke(cli, [*arguments])
    assert result.exit_code == ok, result.output
    return result


def answer(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def made(world: RecordWorld) -> Workspace:
    world.ingest("north")
    world.record.close()
    return world.record.workspace


@pytest.fixture
def catalog(made: Workspace) -> str:
    return f"sqlite:///{made.root / 'record.db'}"


@pytest.fixture
def joined(made: Workspace, catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A further host's folder, whose key is not recorded; the store lies in it as a mount would."""
    (tmp_path / "host2" / ".tracecore").mkdir(parents=True)
    shutil.copytree(made.store, tmp_path / "host2" / ".tracecore" / "store")
    run("workspace", "join", str(tmp_path / "host2"), "--catalog", catalog)
    monkeypatch.setenv("TRACECORE_CATALOG_URL", catalog)
    return Workspace.open(tmp_path / "host2")


def test_show_says_what_a_workspace_is_bound_to_without_opening_it(made: Workspace) -> None:
    expected = {"workspace": str(made.root), "slug": "world", "ledger_id": made.ledger_id, "catalog": "record.db", "store": "store"}
    assert answer("workspace", "show", "-w", str(made.root)) == expected
    (made.root / "record.db").unlink()
    shown = run("workspace", "show", "-w", str(made.root)).stdout
    assert all(value in shown for value in expected.values())


def test_a_catalog_is_moved_on_purpose_and_only_where_the_ledger_lies(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "moved.db"
    url = f"sqlite:///{moved}"
    refused = run("workspace", "move", "-w", str(made.root), "--catalog", url, ok=2).stderr
    assert str(moved) in refused
    assert made.ledger_id in refused
    assert not moved.exists()
    other = Workspace.create(tmp_path / "other")
    Record.open(other).close()
    refused = run("workspace", "move", "-w", str(made.root), "--catalog", f"sqlite:///{other.root / 'record.db'}", ok=2).stderr
    assert made.ledger_id in refused
    assert other.ledger_id in refused
    assert answer("workspace", "show", "-w", str(made.root))["catalog"] == "record.db"

    shutil.move(made.root / "record.db", moved)
    assert answer("workspace", "move", "-w", str(made.root), "--catalog", url)["catalog"] == url
    assert "whose catalog was " + url in run("trace", "drive_log/north", "-w", str(made.root), ok=2).stderr
    monkeypatch.setenv("TRACECORE_CATALOG_URL", url)
    run("trace", "drive_log/north", "-w", str(made.root))


def test_the_copy_that_a_move_left_behind_is_refused_until_it_is_bound_again(
    made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = f"sqlite:///{tmp_path / 'moved.db'}"
    shutil.copy(made.root / "record.db", tmp_path / "moved.db")
    told = run("workspace", "move", "-w", str(made.root), "--catalog", moved).stderr
    assert "The catalog was record.db." in told
    assert "Set TRACECORE_CATALOG_URL to that URL" in told
    for command in (["trace", "drive_log/north"], ["bug", "report", "it brakes"], ["prune"]):
        refused = run(*command, "-w", str(made.root), ok=2).stderr
        assert moved in refused
        assert str(made.root / "record.db") in refused
    for command in ("doctor", "verify"):
        assert moved in run(command, "-w", str(made.root), ok=1).output
    monkeypatch.setenv("TRACECORE_CATALOG_URL", moved)
    run("trace", "drive_log/north", "-w", str(made.root))
    monkeypatch.delenv("TRACECORE_CATALOG_URL")
    home = run("workspace", "move", "-w", str(made.root), "--catalog", f"sqlite:///{made.root / 'record.db'}")
    assert "Set " not in home.stderr  # what lies in the workspace is found without a setting
    run("workspace", "move", "-w", str(made.root))
    run("trace", "drive_log/north", "-w", str(made.root))


def test_the_store_that_a_move_left_behind_is_refused(made: Workspace) -> None:
    made.bind(store="s3://fleet/store")
    refused = run("trace", "drive_log/north", "-w", str(made.root), ok=2).stderr
    assert "s3://fleet/store" in refused
    assert "TRACECORE_STORE_URL" in refused


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (f"postgresql+psycopg://build:{SECRET}@db.example:5432/fleet?sslmode=require", "postgresql+psycopg://db.example:5432/fleet"),
        (f"postgresql+psycopg://db.example/fleet?user=build&password={SECRET}", "postgresql+psycopg://db.example/fleet"),
        ("postgresql+psycopg://build@db.example/fleet", "postgresql+psycopg://db.example/fleet"),
        ("postgresql+psycopg:///fleet?host=/run/postgresql", "postgresql+psycopg:///fleet"),
        ("sqlite:////mnt/team/record.db", "sqlite:////mnt/team/record.db"),
    ],
)
def test_credentials_are_written_nowhere(tmp_path: Path, url: str, kept: str) -> None:
    workspace = Workspace.create(tmp_path / "ws")
    workspace.bind(catalog=url)
    written = (workspace.root / "workspace.json").read_text()
    assert json.loads(written)["catalog"] == kept
    assert "s3cret" not in written
    assert "build" not in written


def test_what_lies_inside_the_workspace_is_kept_relative(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "ws")
    workspace.bind(catalog=f"sqlite:///{workspace.root / 'db' / 'record.db'}")
    assert workspace.binding() == {"catalog": "db/record.db", "store": "store"}


def test_init_on_a_taken_catalog_leaves_nothing_and_names_join(
    made: Workspace, catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACECORE_HOME")
    monkeypatch.setenv("TRACECORE_CATALOG_URL", catalog)
    refused = run("init", str(tmp_path / "second"), ok=2).stderr
    assert made.ledger_id in refused
    assert "'tracecore workspace join DIR'" in refused
    assert not (tmp_path / "second").exists()
    monkeypatch.delenv("TRACECORE_CATALOG_URL")
    mark = tmp_path / "third" / ".tracecore" / "store" / "ledger.json"
    mark.parent.mkdir(parents=True)
    shutil.copy(made.store / "ledger.json", mark)
    refused = run("init", str(tmp_path / "third"), ok=2).stderr
    assert made.ledger_id in refused
    assert "'tracecore workspace join DIR'" in refused
    assert [path for path in (tmp_path / "third").rglob("*") if path.is_file()] == [mark]


def test_a_folder_whose_file_was_lost_is_joined_again_and_never_begun_anew(made: Workspace, catalog: str) -> None:
    (made.root / "workspace.json").unlink()
    assert made.ledger_id in run("init", "-w", str(made.root), ok=2).stderr
    run("workspace", "join", str(made.root), "-w", str(made.root), "--catalog", catalog)
    assert Workspace.open(made.root) == made
    run("key", "rotate", "-w", str(made.root))


def test_join_needs_a_catalog_and_a_store_of_one_ledger(made: Workspace, catalog: str, tmp_path: Path) -> None:
    folder = tmp_path / "host2"
    assert "--catalog URL" in run("workspace", "join", str(folder), ok=2).stderr
    assert "holds no ledger" in run("workspace", "join", str(folder), "--catalog", f"sqlite:///{tmp_path / 'none.db'}", ok=2).stderr
    assert "--store URL" in run("workspace", "join", str(folder), "--catalog", catalog, ok=2).stderr
    assert not folder.exists()
    other = Workspace.create(folder / ".tracecore")
    Record.open(other).close()
    refused = run("workspace", "join", str(folder), "--catalog", catalog, ok=2).stderr
    assert made.ledger_id in refused
    assert other.ledger_id in refused


def test_a_joined_host_reads_and_signs_only_once_its_key_is_recorded(made: Workspace, catalog: str, joined: Workspace) -> None:
    assert (joined.slug, joined.ledger_id) == (made.slug, made.ledger_id)
    assert joined.binding() == {"catalog": catalog, "store": "store"}
    folder = str(joined.root)
    run("trace", "drive_log/north", "-w", folder)
    said = answer("workspace", "join", str(joined.root.parent))
    assert not said["recorded"]
    assert said["file"] in run("workspace", "join", str(joined.root.parent)).stdout
    before = Record.open(made)
    size = before.recorder.position()
    before.close()
    for arguments in (("key", "rotate"), ("bug", "report", "it brakes")):
        refused = run(*arguments, "-w", folder, ok=2).stderr
        assert "is not recorded in the ledger yet" in refused
        assert f"tracecore key add {said['file']}" in refused
    assert "is not recorded in the ledger yet" in run("doctor", "-w", folder, ok=1).stdout
    assert "not recorded yet" in run("key", "list", "-w", folder).stdout
    assert answer("key", "export", "-w", folder)["id"] == said["key"]
    assert Record.open(made).recorder.position() == size

    added = answer("key", "add", said["file"], "-w", str(made.root))
    assert (added["id"], added["new"]) == (said["key"], True)
    assert not answer("key", "add", said["file"], "-w", str(made.root))["new"]
    run("bug", "report", "it brakes", "-w", folder)
    assert answer("workspace", "join", str(joined.root.parent))["recorded"]


def test_both_hosts_verify_whoever_signed_last_and_a_pinned_first_key_leads_to_all(made: Workspace, joined: Workspace, tmp_path: Path) -> None:
    first = tmp_path / "first.pub"
    run("key", "export", "-o", str(first), "-w", str(made.root))
    run("key", "add", str(next(joined.keys.glob("*.pub"))), "-w", str(made.root))
    for host in (made, joined, made, joined):
        run("key", "rotate", "-w", str(host.root))
        for verifying in (made, joined):
            with Record.open(verifying) as record:
                for key in (None, first):
                    failures = record.verify(key=key)["failures"]
                    assert [each for each in failures if not each["ref"].startswith("drive_log/")] == []
    with pytest.raises(UsageError, match="holds no public key"):
        Record.open(made).verify(key=made.root / "workspace.json")
    (joined.keys / "active").write_text((made.keys / "active").read_text())
    with Record.open(joined) as record:
        assert "keys/active" in {each["ref"] for each in record.verify()["failures"]}
