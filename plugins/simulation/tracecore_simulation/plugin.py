"""What this plugin brings to tracecore."""

from __future__ import annotations

import click

import tracecore as tc
from tracecore_simulation.demo_drives import command
from tracecore_simulation.world_stage import WORLD_FACET, World

__all__ = ["tracecore_register_commands", "tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_commands() -> list[click.Command]:
    """Bring the command `draw-drives`."""
    return [command]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Bring the stage `world`."""
    return [World]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet of a simulated world."""
    return [WORLD_FACET]
