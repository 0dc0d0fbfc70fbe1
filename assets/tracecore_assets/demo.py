"""`make demo`: the main job from nothing: a world drives, the reference program makes a vehicle build of it, and its trace is shown.

`python -m tracecore_assets.demo`; everything goes into the workspace that `TRACECORE_HOME` names, else `./.tracecore`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tracecore.commands.shell import cli
from tracecore.workspace import Workspace

__all__ = ["main"]

BUILD = "demo"


def _command(*arguments: str) -> None:
    """Run a command of the command line in this process; one that fails ends the demo with its exit code."""
    print(f"\n$ tracecore {' '.join(arguments)}", file=sys.stderr, flush=True)  # noqa: T201  # what a reader would type
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        if end.code:
            raise


def main() -> None:
    """Run the demo."""
    began = time.monotonic()
    root = Workspace.locate()
    options = ["--workspace", _short(root)]
    _command("build", BUILD, "--program", "reference", "--approver", "demo", *options)
    _command("trace", f"build/{BUILD}", *options)
    print(_next(_short(root), time.monotonic() - began), flush=True)  # noqa: T201  # the demo's last words


def _short(path: Path) -> str:
    """Write a path relative to the current directory where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _next(workspace: str, seconds: float) -> str:
    python = Path(sys.executable)
    tracecore = _short(python.with_name("tracecore"))
    return f"""
build/{BUILD} was made in {seconds:.0f} s. What to open next:
  make ui                                     its assets, checks, curves and pictures on Dagster's page
  make serve                                  the audit server: ask for its trace by GraphQL
  {tracecore} look event_set/reference.kpis.events --workspace {workspace}                the mistakes, drawn
  {tracecore} query --tables --workspace {workspace}                                    what SQL can be asked of
  {tracecore} verify build/{BUILD} --workspace {workspace}
  docs/loop.md                                the whole loop, step by step
  {tracecore} build NAME --program recorded --drives PATH --labels PATH --approver WHO     a build of your own drives"""


if __name__ == "__main__":
    main()
