"""A whole program built into a bucket and a shared catalog, then asked about from another workspace that has neither byte nor row of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from postgres_server import PostgresServer
from s3_server import S3Server, free_ports
from toy_plugin import write_drives

from tracecore.artifacts import open_artifact
from tracecore.commands.shell import cli
from tracecore.workspace import Workspace
from tracecore_lineage.crypto.keys import KeyRing
from tracecore_lineage.ledger.database import Database


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
        server.start()
    except Exception as error:  # noqa: BLE001  # whatever keeps PostgreSQL from starting here is the reason to skip
        pytest.skip(f"PostgreSQL can't be started here: {error}")
    with server:
        yield server


@pytest.fixture
def team(project, s3_server: S3Server, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A project whose bytes go to a bucket and whose record to PostgreSQL."""
    name = f"team_{uuid.uuid4().hex}"
    postgres.ask([f"CREATE DATABASE {name}"])
    Database(postgres.url(name), tmp_path / "locks").close()
    for variable, value in {**s3_server.environment(f"{name}/store"), "TRACECORE_CATALOG_URL": postgres.url(name)}.items():
        monkeypatch.setenv(variable, value)
    KeyRing(Workspace.create(project.workspace, slug="team")).ensure()
    return project


def another_host(team, folder: Path):
    """A second workspace of the same team: its slug, its ledger and its keys, nothing else."""
    folder.mkdir()
    workspace = Workspace.create(folder / "ws", slug="team", ledger_id=Workspace.open(team.workspace).ledger_id)
    shutil.copytree(team.workspace / "keys", workspace.keys, dirs_exist_ok=True)
    return replace(team, folder=folder)


def test_two_hosts_build_into_one_bucket_at_once_and_a_third_traces_verifies_and_reads_it_all(team, tmp_path: Path) -> None:
    second = another_host(team, tmp_path / "second")
    second.write(team.program.read_text())
    write_drives(second.folder / "drives", a="1 2 3", c="7 8 9")
    running = [
        subprocess.Popen(
            host.command("build", name, "--program", "toy.yaml", "--approver", "board", "--json"),
            cwd=host.folder, env=host.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name, host in (("one", team), ("two", second))
    ]  # fmt: skip
    for process in running:
        answer, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        assert json.loads(answer)["made"]
    for host in (team, second):
        assert not [path for path in (host.workspace / "store").rglob("*") if path.is_file()]

    office = another_host(team, tmp_path / "office")

    def ask(*arguments: str) -> str:
        answer = CliRunner().invoke(cli, [*arguments, "--workspace", str(office.workspace)])
        assert answer.exit_code == 0, (arguments, answer.output)
        return answer.stdout

    for build in ("build/one", "build/two"):
        assert json.loads(ask("trace", build, "--json"))["complete"] is True
    verified = json.loads(ask("verify", "--json"))
    assert verified["ok"] is True
    assert verified["checked"]["artifacts"] >= 12
    assert not (office.workspace / "cache").exists()
    assert "frames" in ask("query", 'SELECT drive, count(*) AS frames FROM "toy.drives.frames" GROUP BY drive')
    health = json.loads(ask("doctor", "--json"))
    assert (health["dangling"], health["orphans"]) == ([], [])
    model = open_artifact("model/toy.model", office.workspace)
    assert Path(model.value).is_relative_to(office.workspace / "cache")

    gone = f"http://127.0.0.1:{free_ports(1)[0]}"
    sentence = "can't be reached: start its server or correct AWS_ENDPOINT_URL"
    asked = ["query", 'SELECT count(*) FROM "toy.drives.frames"', "--workspace", str(office.workspace)]
    refused = CliRunner().invoke(cli, asked, env={"AWS_ENDPOINT_URL": gone})
    assert refused.exit_code == 2
    assert sentence in refused.stderr
    unwell = CliRunner().invoke(cli, ["doctor", "--json", "--workspace", str(office.workspace)], env={"AWS_ENDPOINT_URL": gone})
    assert unwell.exit_code == 1
    assert [sentence in problem for problem in json.loads(unwell.stdout)["problems"]] == [True]
