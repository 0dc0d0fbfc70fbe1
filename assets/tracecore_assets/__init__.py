"""Dagster integration of tracecore: a vehicle program becomes assets, checks, and the job that makes a sealed build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracecore_assets.building import BuildAnswer, BuildRefused, build
    from tracecore_assets.code_location import VehicleProgram, program_definitions
    from tracecore_assets.external_assets.read_version import ReadVersion, read
    from tracecore_assets.load.overrides import Overrides
    from tracecore_assets.resolve import load_program

__all__ = ["BuildAnswer", "BuildRefused", "Overrides", "ReadVersion", "VehicleProgram", "build", "load_program", "program_definitions", "read"]

_WHERE = {
    "BuildAnswer": "building",
    "BuildRefused": "building",
    "Overrides": "load.overrides",
    "ReadVersion": "external_assets.read_version",
    "VehicleProgram": "code_location",
    "build": "building",
    "load_program": "resolve",
    "program_definitions": "code_location",
    "read": "external_assets.read_version",
}


def __getattr__(name: str) -> Any:
    """Return a public name of the package, imported on first use so that `tracecore --help` stays quick. Raises AttributeError if unknown."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
