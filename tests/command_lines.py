"""Many command lines run by one real process, as a shell would hand them over: bytes that are not text, terminals of ASCII, missing rights."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tracecore.commands.shell import cli

__all__ = ["Ran", "helps", "mere_owner", "run_all", "with_odd_values"]

_LOOP = """
import json, os, sys
from tracecore.commands.shell import main
codes = []
for arguments in json.loads(sys.argv[-1]):
    if arguments[0] == "chmod":
        os.chmod(arguments[2], int(arguments[1], 8))
        continue
    line, sys.argv = sys.argv, ["tracecore", *arguments]
    print(">>>", ascii(arguments), flush=True)
    print(">>>", ascii(arguments), file=sys.stderr, flush=True)
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
    sys.argv = line
print(json.dumps(codes))
"""
_OVERRIDE_RIGHTS, _READ_ALL = 1, 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root pass over a file's mode
_DROP = 24  # PR_CAPBSET_DROP


@dataclass(frozen=True)
class Ran:
    """What became of command lines: the code of each, and all that they printed, as bytes."""

    codes: Sequence[tuple[tuple[str, ...], int]]
    stdout: bytes
    stderr: bytes

    @property
    def said(self) -> list[tuple[tuple[str, ...], int, str]]:
        """Each line, its code, and its stderr."""
        texts = self.stderr.decode().split(">>> [")[-len(self.codes) :]  # a restarted process printed the first twice
        return [(line, code, text.partition("\n")[2].strip()) for (line, code), text in zip(self.codes, texts, strict=True)]

    @property
    def answers(self) -> dict[tuple[str, ...], str]:
        """Stdout of each line, of the last of several equal ones."""
        texts = self.stdout.decode().split(">>> [")[-len(self.codes) :]
        return {line: text.partition("\n")[2].strip() for (line, _), text in zip(self.codes, texts, strict=True)}


def run_all(lines: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str], *, modes_hold: bool = False) -> Ran:
    """Run command lines one after another in one process; `chmod MODE PATH` among them changes a file's mode.

    Args:
        lines: arguments of `tracecore`.
        folder: where.
        environment: added to this process's.
        modes_hold: whether files' modes hold for root too.
    """
    done = subprocess.run(
        [sys.executable, "-c", _LOOP, json.dumps([list(each) for each in lines])],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
        check=False,
        preexec_fn=mere_owner if modes_hold else None,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    codes = json.loads(done.stdout.splitlines()[-1])
    commands = [tuple(line) for line in lines if line[0] != "chmod"]
    return Ran(list(zip(commands, codes, strict=True)), done.stdout, done.stderr)


def mere_owner() -> None:
    """Make files' modes hold for this process, root's too: called in a child before it becomes the command."""
    for right in (_OVERRIDE_RIGHTS, _READ_ALL):
        ctypes.CDLL(None).prctl(_DROP, right, 0, 0, 0)


def helps() -> list[tuple[str, ...]]:
    """Return `--help` of every command and group."""
    return [(*path, "--help") for path, _ in _commands(cli, ())]


def with_odd_values(odd: str) -> list[tuple[str, ...]]:
    """Return a line for each argument and option of each command that takes a text or a path: that one odd, the other needed ones plausible."""
    return [
        _line(path, command, each, odd)
        for path, command in _commands(cli, ())
        if not isinstance(command, click.Group)
        for each in command.params
        if each.name != "workspace" and isinstance(each.type, click.Path | type(click.STRING) | type(click.UNPROCESSED)) and not _is_flag(each)
    ]


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*path, name))


def _is_flag(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.is_flag


def _line(path: tuple[str, ...], command: click.Command, odd_one: click.Parameter, odd: str) -> tuple[str, ...]:
    options: list[str] = []
    arguments: list[str] = []
    for each in command.params:
        if each is not odd_one and not each.required:
            continue
        value = odd if each is odd_one else str(each.type.choices[0]) if isinstance(each.type, click.Choice) else "x"
        if isinstance(each, click.Argument):
            arguments.append(value)
        else:
            options += [each.opts[0], value]
    return (*path, *options, *arguments)
