"""`tracecore rebuild`: makes a sealed build again from its record and store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecore_assets.rebuild import EnvironmentChange, MissingInput, RebuildAnswer

__all__ = ["command"]

_SHOWN = 20

_EXAMPLES = """
\b
Examples:
  tracecore rebuild build/demo
  tracecore rebuild demo --in again --json
"""


@click.command("rebuild", epilog=_EXAMPLES)
@click.argument("build", metavar="BUILD")
@click.option(
    "--in",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Make it in DIR, an empty folder or one that a rebuild of the same build began in: it goes on there, and DIR stays.",
)
@click.option("--keep", is_flag=True, help="Leave the temporary workspace where it is, and say where.")
@workspace_option
@json_option
@click.pass_context
def command(ctx: click.Context, build: str, folder: Path | None, keep: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make a sealed build again in a scratch workspace, only from its record and store, and compare every artifact.

    Program, parameters, seeds, threads and plugins are the recorded ones, drives and labels come from the store. Missing inputs and changes are
    listed before anything is made. Exit 0 if nothing is different, else 1.
    """
    from tracecore_assets.rebuild import rebuild
    from tracecore_assets.run.progress import Console

    with Console() as console:
        answer = rebuild(
            workspace,
            build,
            folder=folder,
            keep=keep,
            progress=console,
            before=lambda missing, changed: _print_before(console.line, missing, changed),
        )
    if as_json:
        emit_json(answer.document())
    else:
        click.echo(_answer_text(answer))
    if answer.workspace is not None:
        say(f"The scratch workspace is {answer.workspace}.")
    if not answer.ok:
        ctx.exit(1)


def _print_before(line: Callable[[str], object], missing: tuple[MissingInput, ...], changed: tuple[EnvironmentChange, ...]) -> None:
    """Print at most 20 missing inputs and 20 changes of the environment; `line` is called with each line of text."""
    for missed in missing[:_SHOWN]:
        line(f"  lacks    {missed.asset}: {missed.why}")
    for change in changed[:_SHOWN]:
        line(f"  changed  {change.words()} ({', '.join(change.assets)})")
        lines = (change.patch or "").splitlines()
        for each in lines[:_SHOWN]:
            line(f"             {each}")
        if len(lines) > _SHOWN:
            line(f"             … and {len(lines) - _SHOWN} lines more (all of them with --json)")
    for word, listed in (("lacks", missing), ("changed", changed)):
        if len(listed) > _SHOWN:
            line(f"  {word:<8} … and {len(listed) - _SHOWN} more (all of them with --json)")
    if not missing and not changed:
        line("  nothing is lacking, and everything is as it was recorded")


def _answer_text(answer: RebuildAnswer) -> str:
    from collections import Counter

    from tracecore_lineage.present.words import short_ref

    counts = Counter(each.verdict.value for each in answer.artifacts)
    lines = [f"{short_ref(answer.build)}  made again: " + ", ".join(f"{count} {word}" for word, count in counts.items())]
    width = max((len(each.verdict.value) for each in answer.artifacts), default=0)
    for each in answer.artifacts:
        follows = "" if each.follows is None else f" (follows from {each.follows.rpartition('@')[0]})"
        why = "" if each.why == "the same bytes" else f"  {each.why}{follows}"
        lines.append(f"  {each.verdict.value:<{width}}  {short_ref(each.ref)}{why}")
    if answer.first is not None:
        lines.append(f"  the first to differ: {answer.first.ref.rpartition('@')[0]}: {answer.first.why}")
    return "\n".join(lines)
