"""Options and output that every command shares: `--workspace`, `--json`, answers on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from tracecore.system.settings import Settings
    from tracecore.workspace import NamedWorkspace

__all__ = ["console", "emit_json", "json_option", "no_workspace_option", "plugin_setting", "progress_bar", "say", "workspace_option"]

F = TypeVar("F", bound=Callable[..., Any])


def settings_of(ctx: click.Context | None = None) -> Settings:
    """Return the settings of the process, read at the entry of the command line."""
    from tracecore.system.settings import Settings

    ctx = ctx or click.get_current_context()
    found = ctx.find_object(Settings)
    if found is None:  # the command is called without its group
        found = ctx.find_root().obj = Settings.read()
    return found


def plugin_setting(name: str) -> str | None:
    """Return a variable of a plugin's own, for the default of an option.

    Args:
        name: without the prefix `TRACECORE_`.
    """
    return settings_of().others.get(name) or None


def _named(ctx: click.Context, _option: click.Parameter, directory: Path | None) -> NamedWorkspace:
    from tracecore.workspace import NamedWorkspace

    return NamedWorkspace(settings_of(ctx), directory)


def _workspace(help_text: str, *, expose: bool) -> Callable[[F], F]:
    return click.option(
        "--workspace",
        "-w",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        default=None,
        expose_value=expose,
        help=help_text,
        callback=_named,
    )


def workspace_option(function: F) -> F:
    """Add `--workspace DIR`; the command gets `workspace: NamedWorkspace`, which `Workspace.open` and `Record.open` take as it is."""
    return _workspace("The workspace folder (else TRACECORE_HOME, else ./.tracecore).", expose=True)(function)


def no_workspace_option(function: F) -> F:
    """Take `--workspace DIR` as every command does, where the answer depends on none; the command does not get it."""
    return _workspace("Taken as by every command; this answer is the same in every workspace.", expose=False)(function)


def json_option(function: F) -> F:
    """Add `--json`; the command gets `as_json: bool` and answers with `emit_json` where it is set."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")(function)


def emit_json(answer: Any) -> None:
    """Print an answer as one JSON object on stdout, keys in the answer's own order, NaN refused."""
    text = json.dumps(answer, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal of ASCII: JSON has escapes of its own
        text = json.dumps(answer, indent=2, allow_nan=False)
    click.echo(text)


def say(message: str) -> None:
    """Print a line for people on stderr, so that stdout holds only the answer."""
    click.echo(message, err=True)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console: stdout for answers, stderr for progress; plain text where neither is a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Away from a terminal rich would cut lines to 80 columns; what is piped into a file should be whole.
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), emoji=False)


def progress_bar() -> Progress:
    """Return a rich progress display on stderr, gone when the work is done; silent where stderr is not a terminal."""
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
