"""Loads a program whole: read, overridden, parsed and joined to the installed stages."""

from __future__ import annotations

from pathlib import Path

from tracecore.plugins.host import PluginHost
from tracecore_assets.files import replace_files
from tracecore_assets.overrides import Overrides, apply_settings
from tracecore_assets.parse import parse_program, program_source
from tracecore_assets.wiring import WiredProgram, wire

__all__ = ["load_program"]


def load_program(name_or_path: str | Path, overrides: Overrides | None = None, *, host: PluginHost | None = None) -> WiredProgram:
    """Load a program.

    Args:
        name_or_path: a shipped program's name, or a path.
        overrides: what the command line changes.
        host: the installed plugins; loaded where None.

    Raises:
        UsageError: what is wrong with it, with file, line and the nearest right name.
    """
    changes = (overrides or Overrides()).absolute()
    source = apply_settings(program_source(name_or_path), changes.settings)
    program = parse_program(source)
    return replace_files(wire(program, source, host or PluginHost.load()), changes)
