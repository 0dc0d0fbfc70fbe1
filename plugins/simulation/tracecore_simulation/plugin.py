"""What this plugin brings to tracecore."""

from __future__ import annotations

import click

import tracecore as tc
from tracecore_simulation.command import command

__all__ = ["tracecore_register_commands"]


@tc.hookimpl
def tracecore_register_commands() -> list[click.Command]:
    """Bring the command `draw-drives`."""
    return [command]
