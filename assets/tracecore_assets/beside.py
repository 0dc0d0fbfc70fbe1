"""A program's definitions for a Dagster project of one's own, beside assets that no program made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.plugins.host import PluginHost
from tracecore_assets.loading import load_program
from tracecore_assets.overrides import Overrides

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["program_definitions"]


def program_definitions(program: str | Path, overrides: Overrides | None = None) -> dg.Definitions:
    """Give the assets, checks and build job of a program, to be merged with others; what they make goes into the workspace of `TRACECORE_HOME`.

    Args:
        program: a shipped program's name, or a path.
        overrides: what is changed in it.

    Raises:
        UsageError: what is wrong with the program.
    """
    from tracecore_assets.definitions import definitions
    from tracecore_assets.run_sessions import run_sessions

    host = PluginHost.load()
    wired = load_program(program, overrides, host=host)
    return definitions(wired, run_sessions(wired, host))
