"""Hook implementations of this plugin: the command `draw-drives`, the stage `world` and its facet."""

from __future__ import annotations

import click

import tracecore as tc
from tracecore_simulation.demo_drives import command
from tracecore_simulation.world_stage import WORLD_FACET, World

__all__ = ["tracecore_register_commands", "tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_commands() -> list[click.Command]:
    """Return the command `draw-drives`."""
    return [command]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stage `world`."""
    return [World]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet `tracecore_world`."""
    return [WORLD_FACET]
