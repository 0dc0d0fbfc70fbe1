"""The CLI's root group and `tracecore completion`; commands are found by entry point and imported only when needed.

Core commands are lazy strings in the entry-point group `tracecore.commands`; plugins add commands with the hook `tracecore_register_commands`.
"""

from __future__ import annotations

import difflib
import gc
import importlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, NoReturn

import click

from tracecore.cli import UnusableCommand, settings_of
from tracecore.commands.streams import open_standard_streams, readers_may_leave, understand_utf_8
from tracecore.errors import TracecoreError
from tracecore.system.failures import disk_problem, reason_of, tellable
from tracecore.system.settings import Settings

__all__ = ["TracecoreGroup", "cli", "completion", "main"]

GROUP = "tracecore.commands"
BAD_INPUT = 2
INTERRUPTED = 130
UNEXPECTED = 3


def _plugin_commands(settings: Settings) -> dict[str, click.Command]:
    """Return the plugins' commands by name; only plugins whose source contains `tracecore_register_commands` are imported."""
    from tracecore.plugins.discovery import GROUP as PLUGINS
    from tracecore.plugins.discovery import mentions

    entry_points = [entry for entry in metadata.entry_points(group=PLUGINS) if mentions(entry, "tracecore_register_commands")]
    if not entry_points:
        return {}
    from tracecore.plugins.host import PluginHost

    return PluginHost(entry_points, settings).commands


def _broken(name: str, module: str, reason: str) -> UnusableCommand:
    """Return a command that is listed in the help as broken for `reason`, and that raises an error that names its `module` when it is run."""
    return UnusableCommand(name, f"broken: {reason}", TracecoreError(f"The command '{name}' can't be used: importing {module} failed with {reason}."))


class _OthersPipe(Exception):
    """A broken pipe of a command's own, wrapped because click exits silently on BrokenPipeError."""


_WHOLE = 1000
"""Length limit passed to click so that no short help is truncated."""


class TracecoreGroup(click.Group):
    """A click group that loads commands lazily and reports errors as one sentence and an exit code.

    Args:
        core: `module:attribute` of the core commands by name; None reads the entry points.
        plugin_commands: returns the plugins' commands; called only for the help and for names that are not core commands.
    """

    def __init__(
        self,
        *args: Any,
        core: Mapping[str, str] | None = None,
        plugin_commands: Callable[[Settings], Mapping[str, click.Command]] = _plugin_commands,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._core = core
        self._plugin_commands = plugin_commands
        self._from_plugins: dict[tuple[str, ...] | None, Mapping[str, click.Command]] = {}

    @property
    def core(self) -> Mapping[str, str]:
        """The core commands: `module:attribute` to import by command name, from entry points unless passed to the group."""
        if self._core is None:
            found = {entry.name: entry.value for entry in metadata.entry_points(group=GROUP)}
            self._core = dict(sorted({"completion": f"{__name__}:completion", **found}.items()))
        return self._core

    def from_plugins(self, ctx: click.Context) -> Mapping[str, click.Command]:
        """Return the plugins' commands by name, except those named like a core command; cached for each set of allowed plugins."""
        settings = settings_of(ctx)
        allowed = settings.plugins  # a program that uses this group from inside may change which plugins it allows
        if allowed not in self._from_plugins:
            self._from_plugins[allowed] = {name: command for name, command in self._plugin_commands(settings).items() if name not in self.core}
        return self._from_plugins[allowed]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the core commands, then of the plugins' commands; `<plugin>/<name>` only where several have the same name."""
        brought = self.from_plugins(ctx)
        shared = {name for name, command in brought.items() if isinstance(command, UnusableCommand)} | set(self.core)
        return [*self.core, *sorted(name for name in brought if "/" not in name or name.rpartition("/")[2] in shared)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, an `UnusableCommand` if its import fails, or None if there is no such command."""
        where = self.core.get(cmd_name)
        if where is None:
            return self.from_plugins(ctx).get(cmd_name)
        module, _, attribute = where.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # an import may raise anything, SystemExit too; the other commands must go on
            if settings_of(ctx).debug:
                traceback.print_exc()
            return _broken(cmd_name, module, reason_of(error))
        if not isinstance(command, click.Command):
            return _broken(cmd_name, module, f"{attribute!r} being no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands to the help text in `formatter`: each with the whole first sentence of its help, which click would cut."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command is not None and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return (command name, command, arguments after it); raises click.UsageError with the closest name if the command does not exist."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1, cutoff=0.5)
            offer = f"Did you mean '{near[0]}'?" if near else "'tracecore --help' lists them."
            raise click.UsageError(f"No such command '{name}'. {offer}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and return its result; a BrokenPipeError is raised as another exception, since click exits silently on BrokenPipeError."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # only stdout's and stderr's closed readers are tolerated
            raise _OthersPipe from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # click's own signature
        **extra: Any,
    ) -> Any:
        """Run a command line. In standalone mode exit with its exit code, with an error as one sentence on stderr; else return the result."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        sys.exit(self._run(args, prog_name or "tracecore", complete_var, extra))

    def _run(self, args: Sequence[str] | None, prog_name: str, complete_var: str | None, extra: Mapping[str, Any]) -> int:
        debug = False
        try:
            with readers_may_leave():
                settings = Settings.read()
                debug = settings.debug
                answer = super().main(args, prog_name, complete_var, standalone_mode=False, **{"obj": settings, **extra})
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  # the last line of defense: one sentence, not a traceback
            with readers_may_leave():
                return _report_error(error, sys.argv[1:] if args is None else args, debug=debug)
        # A command may end by returning; `ctx.exit(code)` arrives here as an integer.
        return answer if isinstance(answer, int) and not isinstance(answer, bool) else 0


def _report_error(error: BaseException, arguments: Sequence[str], *, debug: bool) -> int:  # noqa: PLR0911  # one for each kind of error
    """Print the error that a command raised as one sentence on stderr, and return the process's exit code."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return BAD_INPUT
        case click.ClickException():
            return _print_error(_usage(error), BAD_INPUT)
        case click.Abort() | KeyboardInterrupt():
            return _print_error("Interrupted.", INTERRUPTED)
        case TracecoreError():
            _show_traceback(debug)
            return _print_error(f"Error: {error}", error.exit_code)
        case SystemExit():
            if error.code is None or isinstance(error.code, int):
                return error.code or 0
            return _print_error(str(error.code), UNEXPECTED)  # its text
    # The text that could not be encoded is a file's name met on the way; any library may refuse an argument that is not UTF-8, each in its own words.
    for text in [error.object] if isinstance(error, UnicodeEncodeError) else arguments:
        if tellable(text) != text:
            _show_traceback(debug)
            return _print_error(f"Error: '{tellable(text[-200:])}' is not UTF-8, so it can't be used or recorded: give it another name.", BAD_INPUT)
    return _report_unexpected(error.__cause__ or error if isinstance(error, _OthersPipe) else error, debug=debug)


def _usage(error: click.ClickException) -> str:
    """Return a click error as one line, with a hint at `--help` unless the message already makes a suggestion."""
    message = error.format_message().rstrip()
    context = error.ctx if isinstance(error, click.UsageError) else None
    offered = "did you mean" in message.lower() or "--help" in message
    hint = f" See '{context.command_path} --help'." if context is not None and not offered else ""
    return f"Error: {message}{'' if message.endswith(('.', '?', '!')) else '.'}{hint}"


def _show_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _print_error(sentence: str, code: int) -> int:
    click.echo(sentence, err=True)
    return code


def _report_unexpected(error: BaseException, *, debug: bool) -> int:
    """Print an unexpected error (neither tracecore's nor click's) on stderr, as a disk problem if it is one, and return the exit code."""
    problem = disk_problem(error, "the workspace")
    _show_traceback(debug)
    if problem is not None:
        return _print_error(f"Error: {problem}", problem.exit_code)
    hint = "" if debug else " Set TRACECORE_DEBUG=1 for the traceback."
    return _print_error(f"Error: something unexpected happened: {reason_of(error)}.{hint}", UNEXPECTED)


@click.group("tracecore", cls=TracecoreGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tracecore", prog_name="tracecore")
def cli() -> None:
    """The flight recorder of a perception program: from drive logs to sealed vehicle builds, traceable for ever."""


def main() -> NoReturn:
    """Run the command line `tracecore` with the process's arguments, and exit with its exit code."""
    # A command imports a million objects that stay: to look through them as often as by default is a tenth of its time.
    gc.set_threshold(50_000, 20, 50)
    understand_utf_8()
    open_standard_streams()
    cli.main()
    raise AssertionError  # standalone mode always exits


_WHERE = """
\b
Where it goes:
  bash:  eval "$(tracecore completion bash)"     in ~/.bashrc
  zsh:   eval "$(tracecore completion zsh)"      in ~/.zshrc
  fish:  tracecore completion fish > ~/.config/fish/completions/tracecore.fish
"""


@click.command("completion", short_help="Print the shell code that completes tracecore's commands.", epilog=_WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the shell code that completes tracecore's commands and options."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None  # the choice above names the three that click has
    click.echo(complete(context.find_root().command, {}, "tracecore", "_TRACECORE_COMPLETE").source())
