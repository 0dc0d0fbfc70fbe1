"""The CLI shell: exit codes, one sentence an error, broken commands named, nothing imported too early."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.commands.shell import TracecoreGroup, cli
from tracecore.errors import NegativeVerdict, RunFailed, UsageError
from tracecore.workspace import NamedWorkspace


def group(**commands: click.Command) -> TracecoreGroup:
    core = {"broken": "tracecore_no_such_module:command", "odd": "tracecore.errors:UsageError"}
    return TracecoreGroup(name="tracecore", core=core, plugin_commands=lambda _settings: commands)


def raising(error: BaseException) -> Result:
    @click.command()
    def fails() -> None:
        raise error

    return CliRunner().invoke(group(fails=fails), ["fails"])


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UsageError("No such drive."), 2, "Error: No such drive.\n"),
        (NegativeVerdict("The release is blocked."), 1, "Error: The release is blocked.\n"),
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
    assert "'UsageError' being no click command" in CliRunner().invoke(group(), ["odd"]).stderr


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
    def answer(*, workspace: NamedWorkspace, as_json: bool) -> None:
        say("working")
        emit_json({"b": str(workspace.directory), "a": as_json, "ü": None})

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
        "import click\nfrom tracecore.commands.shell import TracecoreGroup\n"
        "much = click.Command('much', callback=lambda: click.echo('x\\n' * 10**6))\n"
        "TracecoreGroup(core={}, plugin_commands=lambda _settings: {'much': much}).main(['much'])\n"
    )
    command = f"{sys.executable} {tmp_path}/much.py | head -1; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "x\n", "")


@pytest.mark.parametrize(
    "shell", ["{} | head -1; exit ${{PIPESTATUS[0]}}", "{} | wc -l; exit ${{PIPESTATUS[0]}}", "{} >&-", "{} 2>&-", "{} 2>/dev/full"]
)
def test_the_exit_code_is_the_answer_whether_or_not_anybody_reads_it(tmp_path: Path, shell: str) -> None:
    """`set -o pipefail; tracecore verify | head -1 && deploy` must not deploy."""
    (tmp_path / "no.py").write_text(
        "import click\nfrom tracecore.commands.shell import TracecoreGroup\nfrom tracecore.errors import NegativeVerdict\n"
        "from tracecore.commands.streams import open_standard_streams\n"
        "def no():\n    click.echo('wrong\\n' * 10**5)\n    raise NegativeVerdict('It is not as recorded.')\n"
        "open_standard_streams()\n"
        "TracecoreGroup(core={}, plugin_commands=lambda _settings: {'no': click.Command('no', callback=no)}).main(['no'])\n"
    )
    answer = subprocess.run(["bash", "-c", shell.format(f"{sys.executable} {tmp_path}/no.py")], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr == ("" if "2>" in shell else "Error: It is not as recorded.\n")


def test_a_pipe_that_breaks_inside_a_command_is_an_error_of_its_own() -> None:
    result = raising(BrokenPipeError(32, "Broken pipe"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "BrokenPipeError: [Errno 32] Broken pipe" in result.stderr


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


def test_the_help_cuts_no_sentence_off() -> None:
    listed = CliRunner().invoke(cli, ["--help"], env={"COLUMNS": "80"}).stdout.partition("Commands:")[2]
    assert "..." not in listed
    assert "Make missing and stale assets, run checks and gates, and seal build/NAME." in " ".join(listed.split())


def test_plugins_that_are_allowed_later_bring_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "ingest")
    assert "draw-drives" not in CliRunner().invoke(cli, ["--help"]).stdout
    monkeypatch.delenv("TRACECORE_PLUGINS")
    assert "draw-drives" in CliRunner().invoke(cli, ["--help"]).stdout


def test_the_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "dagster", "great_expectations", "tensorrt_rtx", "deltalake", "pyarrow", "sqlalchemy", "strawberry", "matplotlib")
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom tracecore.commands.shell import cli\n"
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


def test_no_help_shows_the_mark_that_keeps_lines_apart() -> None:
    """Written in a raw docstring it would be two characters, and the examples below it one paragraph."""
    texts = {path: f"{each.help or ''}\n{each.epilog or ''}" for path, each in _commands(cli)}
    assert [path for path, text in texts.items() if "\\b" in text] == []


def test_every_core_command_takes_a_workspace_and_each_that_answers_takes_json() -> None:
    """As the public contract says of every command."""
    answerless = {("completion",), ("serve",), ("ui",), ("events", "export"), ("key", "sign")}  # code, servers, lines of events, an envelope
    lacking = []
    for path, each in _commands(cli):
        if isinstance(each, click.Group) or path[0] not in cli.core or path == ("completion",):
            continue
        options = {option for parameter in each.params for option in parameter.opts}
        wanted = {"--workspace"} if path in answerless else {"--workspace", "--json"}
        lacking += [(path, option) for option in wanted - options]
    assert lacking == []


def test_every_example_in_the_help_is_a_command_line_that_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the files that it names: they need not be there."""
    monkeypatch.chdir(tmp_path)
    tried, wrong = 0, []
    for path, each in _commands(cli):
        shown = f"{each.help or ''}\n{each.epilog or ''}".replace("\\\n", " ")
        for line in re.findall(r'^ *(?:[A-Z_]+="[^"]*" )?(tracecore .*)$', shown, re.MULTILINE):
            words = shlex.split(line.partition(" > ")[0], comments=True)
            problem = _not_understood(words[1:])
            tried += 1
            wrong += [] if problem is None or "does not exist" in problem else [(path, line, problem)]
    assert wrong == []
    assert tried > 80


def _not_understood(words: list[str]) -> str | None:
    """Parse a command line as click does, and run nothing."""
    context, command = click.Context(cli, info_name="tracecore"), cli
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        if found is None:
            return f"no such command: {words}"
        context, command, words = click.Context(found, info_name=words[0], parent=context), found, words[1:]
    try:
        command.make_context(command.name, words)
    except click.UsageError as error:
        return error.format_message()
    return None
