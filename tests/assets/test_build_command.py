"""`tracecore build` on the command line: exit codes, one sentence, one JSON object; what a kill leaves, and two at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import click
import pytest
from click.testing import CliRunner
from toy_plugin import PROGRAM, write_drives

from tracecore.commands.shell import cli
from tracecore_assets.commands.build import VariadicCommand
from tracecore_lineage import Record
from tracecore_lineage.retention.recover import open_runs
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.doctor import examine

BUILD = ("build", "one", "--program", "toy.yaml", "--approver", "board")


def test_the_answer_is_one_json_object_and_progress_goes_to_stderr(project):
    """What the public contract promises of `build --json`."""
    done = project.run(*BUILD, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer) == ["build", "made", "reused", "rejected", "gates", "selection"]
    assert answer["gates"][1] == {"name": "recall.car", "passed": True, "waived": False, "measured": 0.5, "required": {"min": 0.4}}
    assert "made     dataset/toy.drives.frames@" in done.stderr
    again = project.run(*BUILD)
    assert "nothing was made, all 6 reused" in again.stdout
    assert "passed  toy_no_leak: no drive is on both sides" in again.stdout
    assert re.match(r"build/one@\w{6}  sealed before with this very content at ledger position \d+ · recall\.car 0\.50 ≥ 0\.40\n", again.stdout)
    assert "\x1b[" not in again.stdout  # colors are for terminals
    trace = project.run("trace", "build/one").stdout.splitlines()[0]
    assert "sealed, signature valid (bytes: tracecore verify) · recall.car 0.50 ≥ 0.40 · complete" in trace
    assert sorted(path.name for path in project.folder.iterdir()) == ["drives", "toy.yaml", "ws"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--set", "training_set.leak=true"), 1, "Error: build/one is not released: gate toy_no_leak failed: drive b is on both sides."),
        (("--set", "model.epohcs=2"), 2, "Error: --set model.epohcs: unknown key 'epohcs'"),
        (("--set", "model.fail=value"), 3, "Error: Stage 'toy-train' of asset 'model' failed: ValueError: the loss is nan."),
        (("--waive", "toy_no_leak"), 2, "Each --waive needs its own --reason and --until"),
        (("--drives", "nowhere"), 2, "Error: --drives: The drive file"),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(project, arguments, code, sentence):
    """1 the answer is no, 2 bad input, 3 a run failed; no traceback of Dagster's."""
    done = project.run(*BUILD, *arguments, "--json")
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "dagster" not in done.stderr.lower()
    if code == 1:
        answer = json.loads(done.stdout)
        assert answer["build"] is None
        assert [gate["passed"] for gate in answer["gates"]] == [False, True]
    else:
        assert done.stdout == ""


def test_a_refused_build_says_first_which_checks_failed_and_then_what_its_gates_found(project):
    done = project.run(*BUILD, "--set", "training_set.leak=true", "--set", "kpis.recall=0.3")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "build/one  not released · 1 check failed: toy_no_leak · toy_no_leak FAILED · recall.car 0.30 ≥ 0.40 FAILED"
    assert re.fullmatch(r"  check toy_no_leak failed \(warn\) on dataset/toy\.training_set\.train@\w{6}: drive b is on both sides", lines[1])
    assert re.fullmatch(r"  what it measured: tracecore show kpi_report/toy\.kpis@\w{6}", lines[-1])
    assert lines[3:-1] == [
        "  gates: 0 passed, 0 waived, 2 failed",
        "    FAILED  toy_no_leak: drive b is on both sides",
        "    FAILED  recall.car: recall.car is 0.3; required: at least 0.4",
    ]
    assert "Error: build/one is not released: gate toy_no_leak failed" in done.stderr


def _start(project, *arguments):
    return subprocess.Popen(
        project.command(*BUILD, *arguments), cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _wait_for_training(project, process):
    """Wait until the training has its START in the record."""
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(process.stderr.read())
        if (project.workspace / "record.db").exists():
            with Record.open(project.workspace) as record:
                if any(
                    record.query(show, f"run/{run}", workspace=record.workspace)["job"] == "toy.model"
                    for run in (each.id for each in open_runs(record.recorder))
                ):
                    return
        time.sleep(0.1)
    raise AssertionError("the training never began")


def test_a_killed_build_is_closed_by_recover_and_done_by_the_same_command(project):
    """`kill -9` in the middle, `recover`, the same build again: done, nothing dangling, the killed run shown as ABORT."""
    process = _start(project, "--set", "model.seconds=40")
    _wait_for_training(project, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    recovered = project.run("recover", "--json")
    assert recovered.returncode == 0, recovered.stderr
    with Record.open(project.workspace) as record:
        assert open_runs(record.recorder) == []
    done = project.run(*BUILD, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["made"]) == 2
    assert len(answer["reused"]) == 4
    with Record.open(project.workspace) as record:
        assert examine(record.recorder)["ok"]
        assert "ABORT" in _states(record)
    assert _dagster_states(project) == ["FAILURE", "SUCCESS"]


def _states(record):
    from sqlalchemy import text

    with record.database.read() as connection:
        return [json.loads(row[0])["eventType"] for row in connection.execute(text("SELECT body FROM ledger_event"))]


def _dagster_states(project):
    """Ask Dagster how its runs ended: the page must not show a killed one as running for ever."""
    from tracecore.workspace import Workspace
    from tracecore_assets.run.instance import dagster_instance

    with dagster_instance(Workspace.open(project.workspace)) as instance:
        return sorted(run.status.value for run in instance.get_runs())


def test_an_interrupt_is_recorded_as_abort(project):
    """Ctrl-C ends the build at once; nothing stays open."""
    process = _start(project, "--set", "model.seconds=40")
    _wait_for_training(project, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted." in stderr
    assert "Traceback" not in stderr
    with Record.open(project.workspace) as record:
        assert open_runs(record.recorder) == []
        assert _states(record)[-1] == "ABORT"


def test_two_builds_at_once_are_both_right_and_make_nothing_twice(project):
    """The second build waits for the artifact that the first is making, and uses it."""
    write_drives(project.folder / "drives")
    first = _start(project, "--json", "--set", "model.seconds=2")
    second = _start(project, "--json", "--set", "model.seconds=2")
    answers = []
    for process in (first, second):
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        answers.append(json.loads(stdout))
    assert answers[0]["build"] == answers[1]["build"]
    assert sum(len(answer["made"]) for answer in answers) == 6
    with Record.open(project.workspace) as record:
        assert examine(record.recorder)["ok"]
        assert record.verify()["ok"]


@pytest.mark.parametrize(
    ("arguments", "name", "drives"),
    [
        (["one", "--drives", "a", "b", "--json"], "one", ("a", "b")),
        (["--drives", "a", "--drives", "b", "one"], "one", ("a", "b")),
        (["--drives", "a", "b", "--json", "one"], "one", ("a", "b")),
        (["--drives", "a", "b", "one"], "one", ("a", "b")),
        (["--drives=a", "one"], "one", ("a",)),
        (["one"], "one", ()),
    ],
)
def test_several_drives_may_follow_one_option(arguments, name, drives):
    """As a shell's `--drives *.mcap` gives them, wherever the name is."""

    @click.command(cls=VariadicCommand)
    @click.argument("name")
    @click.option("--drives", multiple=True)
    @click.option("--json", "as_json", is_flag=True)
    def command(name, drives, as_json):
        click.echo(json.dumps([name, drives]))

    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == [name, list(drives)]


def test_init_makes_a_workspace_a_key_and_a_program_to_edit(project):
    """The program is a copy of a shipped one, comments and all; one that is there stays."""
    done = project.run("init", "fleet", "--workspace", "fleet-ws", "--from", "toy.yaml", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["slug"] == "fleet"
    copied = project.folder / "fleet" / "vehicle.yaml"
    assert copied.read_text() == PROGRAM
    assert list((project.folder / "fleet-ws" / "keys").glob("*.pem"))
    copied.write_text(PROGRAM + "# mine\n")
    again = project.run("init", "fleet", "--workspace", "fleet-ws")
    assert again.returncode == 0, again.stderr
    assert "was there, left as it is" in again.stdout
    assert copied.read_text().endswith("# mine\n")
    wrong = project.run("init", "fleet2", "--workspace", "fleet-ws", "--from", "recordd")
    assert wrong.returncode == 2
    assert "Did you mean 'recorded'?" in wrong.stderr


def test_init_from_no_program_leaves_nothing_behind(project):
    """Neither a folder nor a workspace is left behind."""
    before = sorted(project.folder.rglob("*"))
    done = project.run("init", "fleet", "--workspace", "fleet-ws", "--from", "nowhere.yaml")
    assert done.returncode == 2
    assert "There is no program file nowhere.yaml" in done.stderr
    assert sorted(project.folder.rglob("*")) == before


def test_init_says_where_the_workspace_is_and_how_to_build_in_it(project, monkeypatch):
    """TRACECORE_HOME names the workspace of every command, of this one too; without it the project's folder holds one."""
    home = project.folder / "home"
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("TRACECORE_HOME", str(home))
    answered = CliRunner().invoke(cli, ["init", "fleet", "--from", "toy.yaml"])
    assert f"The workspace is {home}, given by TRACECORE_HOME" in answered.stderr
    assert "'tracecore init fleet --workspace fleet/.tracecore' makes one there." in answered.stderr
    assert answered.stdout.splitlines()[2].endswith("tracecore build NAME --program fleet/vehicle.yaml --approver WHO")
    assert not (project.folder / "fleet" / ".tracecore").exists()

    monkeypatch.delenv("TRACECORE_HOME")
    answered = CliRunner().invoke(cli, ["init", "fleet"])
    own = project.folder / "fleet" / ".tracecore"
    assert (answered.stderr, answered.stdout.splitlines()[0]) == ("", f"workspace {own} (fleet)")
    assert f"--workspace {own}" in answered.stdout  # from here another would be taken
    monkeypatch.chdir("fleet")
    assert "--workspace" not in CliRunner().invoke(cli, ["init"]).stdout
    listed = CliRunner().invoke(cli, ["key", "list", "--workspace", str(project.folder / "fleet"), "--json"])
    assert len(json.loads(listed.stdout)["keys"]) == 1


def test_a_build_is_made_where_stderr_is_no_file_or_its_reader_is_gone(project, monkeypatch):
    """In a notebook or under a test runner, and behind `2>&1 | head`: progress may be lost, the build is not."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("TRACECORE_HOME", str(project.workspace))
    inside = CliRunner().invoke(cli, [*BUILD, "--json"])
    assert inside.exit_code == 0, inside.stderr
    assert len(json.loads(inside.stdout)["made"]) == 6
    assert "made     dataset/toy.drives.frames@" in inside.stderr

    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        command = project.command("rebuild", "one", "--json")
        done = subprocess.run(command, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=gone, check=False, timeout=120)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True
