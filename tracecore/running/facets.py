"""Completing facets with the traits of registered KPIs, and validating them, before they are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracecore.errors import RunFailed
from tracecore.kpis import with_traits
from tracecore.plugins.host import PluginHost, Registered, RegisteredStage
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["finish_facets"]


def finish_facets(host: PluginHost, stage: RegisteredStage, subject: str, facets: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return an artifact's facets, ready to record; raises RunFailed if one violates its schema.

    Args:
        stage: the stage that wrote them; objects of its own plugin take precedence.
        subject: the artifact in words (`its output 'frames'`), for errors.
    """
    finished = dict(facets)
    if isinstance(report := finished.get(KPIS_FACET.name), Mapping):
        specs = {name: _of(stage, offered) for name, offered in host.objects["kpis"].items()}
        finished[KPIS_FACET.name] = with_traits(report, specs)
    for name, value in finished.items():
        offered = host.objects["facets"].get(name)
        problem = _of(stage, offered).problem(value) if offered and isinstance(value, Mapping) else None
        if problem is not None:
            raise RunFailed(f"The stage '{stage.name}' described {subject} by the facet '{name}', whose contract refuses it: {problem}.")
    return finished


def _of(stage: RegisteredStage, offered: list[Registered[Any]]) -> Any:
    """Return the object that the stage's plugin registers, else the first one."""
    return next((each.item for each in offered if each.entry_point == stage.entry_point), offered[0].item)
