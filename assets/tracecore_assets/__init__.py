"""Dagster for tracecore: a vehicle program becomes assets, checks, and the job that makes a sealed build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracecore_assets.beside import program_definitions
    from tracecore_assets.building import BuildAnswer, BuildRefused, build
    from tracecore_assets.component import VehicleProgram
    from tracecore_assets.foreign.reading import ReadVersion, read
    from tracecore_assets.loading import load_program
    from tracecore_assets.overrides import Overrides

__all__ = ["BuildAnswer", "BuildRefused", "Overrides", "ReadVersion", "VehicleProgram", "build", "load_program", "program_definitions", "read"]

_WHERE = {
    "BuildAnswer": "building",
    "BuildRefused": "building",
    "Overrides": "overrides",
    "ReadVersion": "foreign.reading",
    "VehicleProgram": "component",
    "build": "building",
    "load_program": "loading",
    "program_definitions": "beside",
    "read": "foreign.reading",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `tracecore --help` must stay quick."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
