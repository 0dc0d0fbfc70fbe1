"""Where no workspace is, none is made but by `init` and `build`; and Dagster's files belong to one, or to none and are refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_assets import program_definitions
from tracecore_lineage import Record

SETTINGS = Path(__file__).parents[2] / "assets" / "tracecore_assets" / "dagster.yaml"
OWN = """
import dagster as dg


@dg.asset
def bird():
    return dg.MaterializeResult(data_version=dg.DataVersion("7"))


defs = dg.Definitions(assets=[bird])
"""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command, info_name="tracecore")
    for name in command.list_commands(context):
        each = command.get_command(context, name)
        assert each is not None
        yield from leaves(each, (*path, name))


def test_no_command_but_init_and_build_makes_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACECORE_HOME")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("{}")
    tried = 0
    for path, command in list(leaves(cli)):
        if path in {("init",), ("build",)}:
            continue
        arguments = list(path)
        for each in command.params:
            if each.required:
                arguments += ["x"] if isinstance(each, click.Argument) else [each.opts[0], "x"]
        answer = CliRunner().invoke(cli, arguments)
        assert not list(tmp_path.rglob("workspace.json")), path
        assert not (tmp_path / ".tracecore").exists(), path
        tried += "No workspace at" in answer.stderr
    assert tried > 20
    assert CliRunner().invoke(cli, ["ui"]).stderr == (
        f"Error: No workspace at {tmp_path / '.tracecore'}: make one with 'tracecore init', or name one with --workspace or TRACECORE_HOME.\n"
    )


def test_a_step_of_a_dagster_project_makes_none(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    job = program_definitions("toy.yaml").resolve_implicit_global_asset_job_def()
    config = {"ops": {"toy__release": {"config": {"name": "one", "approver": "board"}}}}
    result = job.execute_in_process(run_config=config, raise_on_error=False)
    assert not result.success
    said = " ".join(str(getattr(event.event_specific_data, "error", "")) for event in result.all_events)
    assert f"No workspace at {project.folder / '.tracecore'}: make one with 'tracecore init'" in said
    assert not (project.folder / ".tracecore").exists()


def dagster(home: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Materialize an asset with Dagster's own command, without settings of tracecore."""
    (folder / "own.py").write_text(OWN)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACECORE_")}
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(folder / "own.py"), "--select", "bird"]
    return subprocess.run(
        command, cwd=folder, env={**kept, "DAGSTER_HOME": str(home), **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_after_init_a_plain_dagster_records(tmp_path, monkeypatch):
    monkeypatch.delenv("TRACECORE_HOME")
    made = CliRunner().invoke(cli, ["init", str(tmp_path / "fleet")])
    assert made.exit_code == 0, made.stderr
    workspace = Workspace.open(tmp_path / "fleet")
    assert (workspace.dagster / "dagster.yaml").read_bytes() == SETTINGS.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = dagster(workspace.dagster, elsewhere)
    assert done.returncode == 0, done.stderr
    with Record.open(workspace) as record:
        assert [run["job"] for run in record.trace("external/dagster.fleet/bird@7")["runs"]] == ["dagster/bird"]
    assert not (elsewhere / ".tracecore").exists()


def test_a_home_outside_any_workspace_is_refused_unless_the_settings_name_one(tmp_path):
    home, folder = tmp_path / "dagster", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    shutil.copy(SETTINGS, home / "dagster.yaml")
    for environment, names in (({}, "TRACECORE_HOME names none"), ({"TRACECORE_HOME": str(tmp_path / "none")}, f"({tmp_path / 'none'}) is none")):
        refused = dagster(home, folder, **environment)
        assert refused.returncode != 0
        assert f"Dagster's files in {home / 'history' / 'runs'} lie in no workspace, and " in refused.stderr
        assert names in refused.stderr
    assert not list(tmp_path.rglob("workspace.json"))
    workspace = Workspace.create(tmp_path / "ws", slug="fleet")
    Record.open(workspace).close()
    done = dagster(home, folder, TRACECORE_HOME=str(workspace.root))
    assert done.returncode == 0, done.stderr
    with Record.open(workspace) as record:
        assert record.trace("external/dagster.fleet/bird@7")["runs"]


def test_a_workspace_around_the_files_is_the_one_whatever_the_settings_name(tmp_path, monkeypatch):
    from tracecore_assets.external_assets.event_log import workspace_of

    workspace, other = (Workspace.create(tmp_path / name) for name in ("ws", "other"))
    monkeypatch.setenv("TRACECORE_HOME", str(other.root))
    assert workspace_of(workspace.dagster / "history" / "runs") == workspace
    assert workspace_of(tmp_path / "dagster") == other
    monkeypatch.delenv("TRACECORE_HOME")
    with pytest.raises(UsageError, match="lie in no workspace, and TRACECORE_HOME names none"):
        workspace_of(tmp_path / "dagster")
