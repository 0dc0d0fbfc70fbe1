"""A program file as a Dagster component: `type: tracecore_assets.VehicleProgram` in any Dagster project's `defs.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from tracecore.plugins.host import PluginHost
from tracecore_assets import program as programs
from tracecore_assets.definitions import definitions
from tracecore_assets.run_sessions import run_sessions
from tracecore_assets.source import Source
from tracecore_assets.wiring import wire

__all__ = ["VehicleProgram"]


class VehicleProgram(dg.Component):
    """A vehicle program's assets, checks and build job.

    Args:
        program: as parsed.
        base: the folder that its relative paths start from.
    """

    def __init__(self, program: programs.VehicleProgram, base: Path) -> None:
        self.program = program
        self.base = base

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Give the shape of `attributes`: a program's own."""
        return programs.VehicleProgram

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Take the program as Dagster has read it."""
        assert isinstance(attributes, programs.VehicleProgram), "Dagster validates the attributes by get_model_cls"
        return cls(attributes, Path(context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  # Dagster's own signature
        """Join the program to the installed stages; runs go into the workspace that `TRACECORE_HOME` names."""
        host = PluginHost.load()
        wired = wire(self.program, Source(str(self.base / "defs.yaml"), self.base, None, {}), host)
        return definitions(wired, run_sessions(wired, host))
