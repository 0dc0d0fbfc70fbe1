"""The CLI shell: exit codes, one sentence an error, broken commands named, nothing imported too early."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tracecore.cli import TracecoreGroup, cli
from tracecore.errors import AnswerIsNo, RunFailed, UsageProblem
from tracecore.options import emit_json, json_option, say, workspace_option


def group(**commands: click.Command) -> TracecoreGroup:
    core = {"broken": "tracecore_no_such_module:command", "odd": "tracecore.errors:UsageProblem"}
    return TracecoreGroup(name="tracecore", core=core, plugin_commands=lambda: commands)


def raising(error: BaseException) -> Result:
    @click.command()
    def fails() -> None:
        raise error

    return CliRunner().invoke(group(fails=fails), ["fails"])


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UsageProblem("No such drive."), 2, "Error: No such drive.\n"),
        (AnswerIsNo("The release is blocked."), 1, "Error: The release is blocked.\n"),
        (RunFailed("Stage 'train' failed."), 3, "Error: Stage 'train' failed.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.BadParameter("not a date"), 2, "Invalid value: not a date"),
        (OSError(28, "No space left on device"), 2, "Error: The disk is full"),
    ],
)
def test_an_error_is_one_sentence_on_stderr_and_an_exit_code(error: BaseException, code: int, sentence: str) -> None:
    result = raising(error)
    assert result.exit_code == code
    assert sentence in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_something_unexpected_is_one_sentence_and_shows_its_traceback_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = raising(ZeroDivisionError("division by zero"))
    assert result.exit_code == 3
    assert result.stderr == "Error: something unexpected happened: ZeroDivisionError: division by zero. Set TRACECORE_DEBUG=1 for the traceback.\n"
    monkeypatch.setenv("TRACECORE_DEBUG", "1")
    assert "Traceback" in raising(ZeroDivisionError("division by zero")).stderr


def test_a_command_may_end_with_an_exit_code_of_its_own() -> None:
    @click.command()
    @click.pass_context
    def no(context: click.Context) -> None:
        context.exit(1)

    assert CliRunner().invoke(group(no=no), ["no"]).exit_code == 1


def test_a_broken_command_is_named_in_the_help_and_stops_nothing() -> None:
    @click.command()
    def fine() -> None:
        """Be fine."""
        click.echo("fine")

    shown = CliRunner().invoke(group(fine=fine), ["--help"])
    assert shown.exit_code == 0
    assert "broken" in shown.stdout
    assert "Be fine." in shown.stdout
    assert CliRunner().invoke(group(fine=fine), ["fine"]).stdout == "fine\n"
    called = CliRunner().invoke(group(), ["broken", "--json", "x"])
    assert called.exit_code == 2
    assert "importing tracecore_no_such_module failed with ModuleNotFoundError" in called.stderr
    assert "'UsageProblem' being no click command" in CliRunner().invoke(group(), ["odd"]).stderr


def test_a_mistyped_command_is_answered_with_the_nearest_right_one() -> None:
    result = CliRunner().invoke(cli, ["vrify"])
    assert result.exit_code == 2
    assert "No such command 'vrify'. Did you mean 'verify'?" in result.stderr
    assert "'tracecore --help' lists them" in CliRunner().invoke(cli, ["xyzzy"]).stderr


def test_a_mistyped_option_is_answered_with_the_nearest_right_one() -> None:
    result = CliRunner().invoke(cli, ["plugins", "list", "--jsno"])
    assert result.exit_code == 2
    assert "--json" in result.stderr


def test_json_goes_to_stdout_alone_and_words_to_stderr() -> None:
    @click.command()
    @workspace_option
    @json_option
    def answer(*, workspace: object, as_json: bool) -> None:
        say("working")
        emit_json({"b": str(workspace), "a": as_json, "ü": None})

    result = CliRunner().invoke(group(answer=answer), ["answer", "--workspace", "w", "--json"])
    assert json.loads(result.stdout) == {"b": "w", "a": True, "ü": None}
    assert result.stderr == "working\n"
    with pytest.raises(ValueError, match="Out of range float"):
        emit_json({"loss": float("nan")})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_code(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_TRACECORE_COMPLETE" in result.stdout


def test_completion_offers_commands() -> None:
    environment = {**os.environ, "_TRACECORE_COMPLETE": "bash_complete", "COMP_WORDS": "tracecore comp", "COMP_CWORD": "1"}
    answer = subprocess.run([sys.executable, "-m", "tracecore"], env=environment, capture_output=True, text=True, check=True)
    assert "completion" in answer.stdout


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout.startswith("tracecore, version ")


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "much.py").write_text(
        "import click\nfrom tracecore.cli import TracecoreGroup\n"
        "much = click.Command('much', callback=lambda: click.echo('x\\n' * 10**6))\n"
        "TracecoreGroup(core={}, plugin_commands=lambda: {'much': much}).main(['much'])\n"
    )
    command = f"{sys.executable} {tmp_path}/much.py | head -1; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "x\n", "")


@pytest.mark.parametrize(("code", "shown"), [(5, 5), (None, 0), ("out of words", 3)])
def test_a_command_that_calls_exit_ends_with_its_code(code: object, shown: int) -> None:
    assert raising(SystemExit(code)).exit_code == shown


def test_a_usage_error_is_one_line_that_says_where_the_help_is() -> None:
    missing = CliRunner().invoke(cli, ["plugins", "show"])
    assert missing.exit_code == 2
    assert missing.stderr == "Error: Missing argument 'NAME'. See 'tracecore plugins show --help'.\n"
    assert CliRunner().invoke(cli, ["plugins", "lst"]).stderr.count("\n") == 1


def test_no_command_at_all_shows_the_help() -> None:
    result = CliRunner().invoke(cli, [])
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


def test_plugins_that_are_allowed_later_bring_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "ingest")
    assert "draw-drives" not in CliRunner().invoke(cli, ["--help"]).stdout
    monkeypatch.delenv("TRACECORE_PLUGINS")
    assert "draw-drives" in CliRunner().invoke(cli, ["--help"]).stdout


def test_the_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "dagster", "great_expectations", "tensorrt_rtx", "deltalake", "pyarrow", "sqlalchemy", "strawberry", "matplotlib")
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom tracecore.cli import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name="tracecore")
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        assert each is not None, name
        yield (*path, name), each
        if isinstance(each, click.Group):
            yield from _commands(each, (*path, name))


def test_every_command_says_what_it_does_and_shows_an_example_of_itself() -> None:
    """A group's examples may be its commands' own."""
    lacking = []
    for path, each in _commands(cli):
        words = " ".join(("tracecore", *path))
        shown = f"{each.help or ''}\n{each.epilog or ''}"
        if not (each.help or "").strip() or (words not in shown and not isinstance(each, click.Group) and path != ("completion",)):
            lacking.append(words)
    assert lacking == []
