"""Options and output helpers shared by all commands: `--workspace`, `--json`, answers on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from tracecore.errors import TracecoreError
    from tracecore.system.settings import Settings
    from tracecore.workspace import NamedWorkspace

__all__ = ["console", "emit_json", "json_option", "no_workspace_option", "plugin_setting", "progress_bar", "say", "workspace_option"]

F = TypeVar("F", bound=Callable[..., Any])


class UnusableCommand(click.Command):
    """A command that the help lists with a reason why it can't be used, and that raises an error when it is called."""

    def __init__(self, name: str, reason: str, error: TracecoreError) -> None:
        super().__init__(name, help=f"({reason})", add_help_option=False, context_settings={"ignore_unknown_options": True})
        self.params = [click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)]
        self.error = error

    def invoke(self, ctx: click.Context) -> NoReturn:  # noqa: ARG002  # click's own signature
        raise self.error


def settings_of(ctx: click.Context | None = None) -> Settings:
    """Return the settings (`TRACECORE_*` environment variables), read once per process and cached in the root click context."""
    from tracecore.system.settings import Settings

    ctx = ctx or click.get_current_context()
    found = ctx.find_object(Settings)
    if found is None:  # the command is called without its group
        found = ctx.find_root().obj = Settings.read()
    return found


def plugin_setting(name: str) -> str | None:
    """Return the value of the environment variable `TRACECORE_<name>`, one of a plugin's; None if it is unset or empty."""
    return settings_of().others.get(name) or None


def _name_workspace(ctx: click.Context, _option: click.Parameter, directory: Path | None) -> NamedWorkspace:
    from tracecore.workspace import NamedWorkspace

    return NamedWorkspace(settings_of(ctx), directory)


def _workspace_decorator(help_text: str, *, expose: bool) -> Callable[[F], F]:
    """Return a decorator that adds the option `--workspace DIR`; if `expose`, the command receives it as `workspace: NamedWorkspace`."""
    return click.option(
        "--workspace",
        "-w",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        default=None,
        expose_value=expose,
        help=help_text,
        callback=_name_workspace,
    )


def workspace_option(function: F) -> F:
    """Return a command function with the option `--workspace DIR`, received as `workspace: NamedWorkspace`, the argument of `Workspace.open`."""
    return _workspace_decorator("The workspace folder (else TRACECORE_HOME, else ./.tracecore).", expose=True)(function)


def no_workspace_option(function: F) -> F:
    """Return a command function with an option `--workspace DIR` that it ignores, since its output does not depend on a workspace."""
    return _workspace_decorator("Taken as by every command; this answer is the same in every workspace.", expose=False)(function)


def json_option(function: F) -> F:
    """Return a command function with the flag `--json`, received as `as_json: bool`; if set, the command prints its result by `emit_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")(function)


def emit_json(answer: Any) -> None:
    """Print a command's result on stdout as indented JSON, keys in the order of `answer`; raises ValueError for NaN."""
    text = json.dumps(answer, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal of ASCII: JSON has escapes of its own
        text = json.dumps(answer, indent=2, allow_nan=False)
    click.echo(text)


def say(message: str) -> None:
    """Print a message on stderr, since stdout is for the command's result."""
    click.echo(message, err=True)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console on stdout, or on stderr if `stderr`; it wraps lines only if that stream is a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Away from a terminal rich would cut lines to 80 columns; what is piped into a file should be whole.
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), emoji=False)


def progress_bar() -> Progress:
    """Return a rich progress display on stderr, removed when it ends; disabled if stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    target = console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=target,
        transient=True,
        disable=not target.is_terminal,
    )
