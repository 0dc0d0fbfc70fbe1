"""Every command x every way in which a catalog or store is lost, empty or another ledger's: refused, naming both sides; nothing is written.

The commands are those of the click group: a new one fails here until it has a line in one of the two tables.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from postgres_server import PostgresServer
from s3_server import S3Server

from tracecore.commands.shell import cli
from tracecore.testing.worlds import RecordWorld
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.crypto.keys import PrivateKey

CATALOG, STORE = "TRACECORE_CATALOG_URL", "TRACECORE_STORE_URL"

OPENS = {
    "bug list": [],
    "bug report": ["it brakes for nothing"],
    "bug show": ["bug/0123456789ab"],
    "build": ["again", "--program", "recorded", "--drives", "{files}", "--labels", "{files}/labels.json", "--approver", "ada"],
    "checkpoint": [],
    "consent withdraw": ["north", "--reason", "asked"],
    "doctor": [],
    "events export": [],
    "events import": ["{files}/events.ndjson"],
    "export": ["build/demo", "--format", "bundle", "-o", "{files}/out.bundle"],
    "impact": ["drive_log/north"],
    "import": ["{files}/demo.bundle"],
    "init": ["{files}/project"],
    "key add": ["{files}/other.pub"],
    "key cosign": ["build/demo", "--sign", "{files}/other.pem"],
    "key policy": [],
    "key rotate": [],
    "label campaign create": ["boxes", "--frames", "dataset/demo.drives", "--guideline", "v1"],
    "label export": ["label_batch/demo.labels", "--format", "openlabel", "-o", "{files}/out.json"],
    "look": ["dataset/demo.drives"],
    "prune": [],
    "query": ["SELECT 1"],
    "rebuild": ["build/demo"],
    "recover": [],
    "replay": [],
    "serve": ["--port", "0"],
    "show": ["build/demo"],
    "trace": ["build/demo"],
    "ui": ["--port", "{port}"],
    "verify": [],
    "why-stale": ["model", "--program", "recorded"],
    "workspace move": [],
}
"""Arguments of each command that opens the record."""
OPENS_NONE = {
    "completion": "prints a shell's code",
    "draw-drives": "writes files for a first try",
    "key export": "reads the workspace's keys",
    "key list": "reads the workspace's keys",
    "key new": "makes a key outside any workspace",
    "key sign": "signs an envelope outside any workspace",
    "label claim": "works in a campaign's own file",
    "label close": "works in a campaign's own file",
    "label list": "works in a campaign's own file",
    "label refuse": "works in a campaign's own file",
    "label review": "works in a campaign's own file",
    "label show": "works in a campaign's own file",
    "label status": "works in a campaign's own file",
    "label submit": "works in a campaign's own file",
    "plugins check": "about what is installed",
    "plugins list": "about what is installed",
    "plugins new": "about what is installed",
    "plugins show": "about what is installed",
    "token create": "keeps the audit server's tokens, no part of the record",
    "token list": "keeps the audit server's tokens, no part of the record",
    "token revoke": "keeps the audit server's tokens, no part of the record",
    "workspace join": "makes another workspace: test_workspace_command",
    "workspace show": "says what the workspace is bound to, wherever its ledger is",
}
"""Commands that open no record, and why."""
SOME = ("bug report", "doctor", "events import", "export", "key rotate", "prune", "recover", "replay", "trace", "verify", "workspace move")
FINDINGS = ("doctor", "verify")
"""Commands that answer with a finding, exit 1: what is wrong is what they are asked."""


_EVENT = {
    "eventType": "COMPLETE",
    "eventTime": "2026-01-02T03:04:05Z",
    "run": {"runId": "01890000-0000-7000-8000-000000000000"},
    "job": {"namespace": "etl", "name": "nightly"},
    "producer": "https://etl.example",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
}


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield " ".join((*path, name))


@dataclass
class Place:
    """A workspace with a sealed build, another one, files to name, and how the record is reached."""

    ours: Workspace
    other: Workspace
    files: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, arguments: Sequence[str] = (), root: Path | None = None) -> Result:
        given = [each.replace("{files}", str(self.files)).replace("{port}", "3999") for each in arguments]
        env = dict.fromkeys((CATALOG, STORE, "TRACECORE_HOME")) | self.env
        return CliRunner().invoke(cli, [*command.split(), *given, "--workspace", str(root or self.ours.root)], env=env)


def place(folder: Path, env: Mapping[str, str] | None = None) -> Place:
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        world = RecordWorld.at(folder / "ours").all()
        world.seal("demo")
        world.record.close()
        for name in env or {}:
            patch.delenv(name)
        other = RecordWorld.at(folder / "other")
        other.ingest("south")
        other.record.close()
    files = folder / "files"
    files.mkdir()
    (files / "labels.json").write_text("{}")
    (files / "north.mcap").write_bytes(b"")
    (files / "events.ndjson").write_text(json.dumps(_EVENT))
    (files / "demo.bundle").write_bytes(b"PK")
    key = PrivateKey.generate()
    (files / "other.pem").write_bytes(key.pem())
    (files / "other.pub").write_text(key.public.pem)
    return Place(world.record.workspace, other.record.workspace, files, dict(env or {}))


def refused(found: Place, commands: Mapping[str, Sequence[str]], *named: str, root: Path | None = None) -> None:
    """Run commands, and list each that is not refused by a sentence with all of these words, or that wrote anything but locks."""
    root = root or found.ours.root
    wrong: dict[str, str] = {}
    before = _files(root)
    for command, arguments in commands.items():
        result = found.run(command, arguments, root)
        expected = 1 if command in FINDINGS else 2
        missing = [word for word in named if word not in result.output]
        if result.exit_code != expected or missing:
            wrong[command] = f"exit {result.exit_code}, lacks {missing}: {result.output[-600:]}"
        elif _files(root) != before:
            wrong[command] = f"wrote {sorted(_files(root) ^ before)}"
            before = _files(root)
    assert wrong == {}


def _files(root: Path) -> set[tuple[str, int]]:
    """Return what lies in a workspace, but for locks and what SQLite keeps next to a file that is open."""
    found = [path for path in root.rglob("*") if path.is_file() and "locks" not in path.parts and not path.name.endswith(("-wal", "-shm"))]
    return {(str(path.relative_to(root)), path.stat().st_size if path.name != "record.db" else 0) for path in found}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "place"
    place(folder)
    return folder


@pytest.fixture
def sqlite(template: Path, tmp_path: Path) -> Place:
    """A copy of it; the record of ours lies outside the workspace."""
    shutil.copytree(template, tmp_path / "place")
    ours, other = Workspace.open(tmp_path / "place" / "ours"), Workspace.open(tmp_path / "place" / "other")
    shutil.move(ours.root / "record.db", tmp_path / "record.db")
    found = Place(ours, other, tmp_path / "place" / "files", {CATALOG: f"sqlite:///{tmp_path / 'record.db'}"})
    assert found.run("workspace move").exit_code == 0
    return found


def test_each_command_has_a_line_here() -> None:
    assert sorted(walk(cli)) == sorted([*OPENS, *OPENS_NONE])


def test_help_needs_no_record(sqlite: Place) -> None:
    del sqlite.env[CATALOG]
    assert {command: result.output for command in walk(cli) if (result := CliRunner().invoke(cli, [*command.split(), "--help"])).exit_code} == {}
    assert sqlite.run("workspace show").exit_code == 0
    assert sqlite.run("key list").exit_code == 0
    assert sqlite.run("token list").exit_code == 0


def _unset(found: Place) -> tuple[str, ...]:
    del found.env[CATALOG]
    return (str(found.ours.root / "record.db"),)


def _deleted(found: Place) -> tuple[str, ...]:
    file = Path(found.env[CATALOG].removeprefix("sqlite:///"))
    file.unlink()
    return (str(file),)


def _empty(found: Place) -> tuple[str, ...]:
    named = _deleted(found)
    Path(found.env[CATALOG].removeprefix("sqlite:///")).touch()
    return named


def _anothers(found: Place) -> tuple[str, ...]:
    found.env[CATALOG] = f"sqlite:///{found.other.root / 'record.db'}"
    return (found.other.ledger_id,)


def _no_store(found: Place) -> tuple[str, ...]:
    shutil.rmtree(found.ours.store)
    return (str(found.ours.store),)


def _anothers_store(found: Place) -> tuple[str, ...]:
    shutil.rmtree(found.ours.store)
    shutil.copytree(found.other.store, found.ours.store)
    return (str(found.ours.store), found.other.ledger_id)


def _unmarked_store(found: Place) -> tuple[str, ...]:
    (found.ours.store / "ledger.json").unlink()
    return (str(found.ours.store),)


SITUATIONS: dict[str, Callable[[Place], tuple[str, ...]]] = {
    "the catalog's variable is unset": _unset,
    "the database is deleted": _deleted,
    "the database is empty": _empty,
    "the catalog is another ledger's": _anothers,
    "the store is deleted": _no_store,
    "the store is another ledger's": _anothers_store,
    "the store lost its ledger.json": _unmarked_store,
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_command_is_refused_by_name(sqlite: Place, situation: str) -> None:
    named = SITUATIONS[situation](sqlite)
    for verdict in FINDINGS:  # in JSON and for people alike
        assert json.loads(sqlite.run(verdict, ["--json"]).stdout)["ok"] is False
    refused(sqlite, OPENS, sqlite.ours.ledger_id, *named)


def test_two_workspaces_never_write_into_one_catalog(sqlite: Place, tmp_path: Path) -> None:
    with Record.open(Workspace.open(sqlite.other.root)) as record:
        events = record.recorder.position()
    second = Workspace.create(tmp_path / "second")
    sqlite.env[CATALOG] = f"sqlite:///{sqlite.other.root / 'record.db'}"
    refused(sqlite, OPENS, second.ledger_id, sqlite.other.ledger_id, root=second.root)
    with Record.open(Workspace.open(sqlite.other.root)) as record:
        assert record.recorder.position() == events
        assert record.verify()["failures"] == []


def _some() -> dict[str, list[str]]:
    return {command: OPENS[command] for command in SOME}


@pytest.fixture
def databases(postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URLs of two empty databases."""
    names = [f"{name}_{os.getpid()}" for name in ("ours", "none")]
    postgres.ask([f"CREATE DATABASE {name}" for name in names])
    yield postgres.url(names[0]), postgres.url(names[1])
    postgres.ask([f"DROP DATABASE {name} WITH (FORCE)" for name in names])


def test_on_postgresql_too(databases: tuple[str, str], tmp_path: Path) -> None:
    url, none = databases
    found = place(tmp_path / "place", {CATALOG: url})
    assert found.run("verify", ["build/demo"]).exit_code in {0, 1}
    ours = found.ours.ledger_id
    found.env[CATALOG] = none
    refused(found, _some(), ours)
    refused(found, {"trace": OPENS["trace"]}, "holds no ledger", ours, "whose catalog was postgresql+psycopg://")
    del found.env[CATALOG]
    refused(found, _some(), ours)
    assert not (found.ours.root / "record.db").exists()
    found.env[CATALOG] = f"sqlite:///{found.other.root / 'record.db'}"
    refused(found, _some(), ours, found.other.ledger_id)
    second = Workspace.create(tmp_path / "second")
    found.env[CATALOG] = url
    refused(found, _some(), ours, second.ledger_id, root=second.root)
    assert found.run("trace", ["build/demo"]).exit_code == 0
    third = tmp_path / "third" / ".tracecore"
    init = found.run("init", [str(third.parent)], third)
    assert init.exit_code == 2
    assert ours in init.output
    assert "'tracecore workspace join DIR'" in init.output
    assert not third.parent.exists()
    found.env[CATALOG] = none
    assert found.run("init", [str(third.parent)], third).exit_code == 0
    assert found.run("doctor", [], third).exit_code == 0


def test_in_a_bucket_too(s3_server: S3Server, tmp_path: Path) -> None:
    prefix = f"ledgers/{tmp_path.name}"
    found = place(tmp_path / "place", s3_server.environment(f"{prefix}/ours"))
    ours = found.ours.ledger_id
    bound = found.ours.binding()
    assert bound is not None
    assert bound["store"] == found.env[STORE]
    assert found.run("trace", ["build/demo"]).exit_code == 0

    found.env[STORE] = found.env[STORE].replace("/ours", "/none")
    refused(found, _some(), ours)
    refused(found, {"trace": OPENS["trace"]}, "/none", "belongs to no ledger", f"whose store was {bound['store']}")
    theirs = s3_server.environment(f"{prefix}/theirs")
    assert found.run("workspace show").exit_code == 0
    second = Workspace.create(tmp_path / "second")
    found.env[STORE] = theirs[STORE]
    assert found.run("key rotate", root=second.root).exit_code == 0  # its first command binds it
    refused(found, _some(), ours, second.ledger_id)
    del found.env[STORE]
    assert (found.ours.store / "ledger.json").exists() is False
    refused(found, _some(), ours)

    found.env[STORE] = bound["store"]
    init = found.run("init", [str(tmp_path / "third")], tmp_path / "third" / ".tracecore")
    assert init.exit_code == 2
    assert ours in init.output
    assert "'tracecore workspace join DIR'" in init.output
    assert not (tmp_path / "third").exists()
    joined = tmp_path / "host2" / ".tracecore"
    found.env[CATALOG] = f"sqlite:///{found.ours.root / 'record.db'}"
    assert found.run("workspace join", [str(tmp_path / "host2")], joined).exit_code == 0
    assert found.run("trace", ["build/demo"], joined).exit_code == 0
    moved = found.run("workspace move", ["--store", theirs[STORE]])
    assert moved.exit_code == 2
    assert second.ledger_id in moved.output


def test_copies_that_are_written_to_apart_are_a_fork(sqlite: Place, tmp_path: Path) -> None:
    del sqlite.env[CATALOG]
    shutil.move(tmp_path / "record.db", sqlite.ours.root / "record.db")
    assert sqlite.run("workspace move").exit_code == 0
    shutil.copytree(sqlite.ours.root, tmp_path / "copy")
    copy = Workspace.open(tmp_path / "copy")
    assert copy.ledger_id == sqlite.ours.ledger_id
    common, ours = tmp_path / "common.checkpoint", tmp_path / "ours.checkpoint"
    assert sqlite.run("checkpoint", ["-o", str(common)]).exit_code == 0
    assert sqlite.run("bug report", ["it brakes for nothing"]).exit_code == 0
    assert sqlite.run("checkpoint", ["-o", str(ours)]).exit_code == 0
    for text in ("it swerves", "it stops"):
        assert sqlite.run("bug report", [text], copy.root).exit_code == 0

    def told(checkpoint: Path, root: Path | None) -> list[str]:
        verdict = json.loads(sqlite.run("verify", ["build/demo", "--checkpoint", str(checkpoint), "--json"], root).stdout)
        return [failure["what"] for failure in verdict["failures"] if failure["ref"] == "checkpoint"]

    assert told(common, None) == told(common, copy.root) == told(ours, None) == []
    [what] = told(ours, copy.root)
    assert "of a fork of it" in what
    consistent = sqlite.run("checkpoint", ["--consistent-with", str(ours)], copy.root)
    assert consistent.exit_code == 1
    assert "of a fork of it" in consistent.output
    theirs = tmp_path / "theirs.checkpoint"
    assert sqlite.run("checkpoint", ["-o", str(theirs)], copy.root).exit_code == 0
    [longer] = told(theirs, None)
    assert "of a fork of it" in longer
