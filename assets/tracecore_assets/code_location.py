"""Entry points by which Dagster loads programs: a component, definitions for another project, and the code location of `tracecore ui`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from tracecore.errors import TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.define.definitions import definitions, request_of_run
from tracecore_assets.define.notifications import failed_checks_sensor
from tracecore_assets.load import program as programs
from tracecore_assets.load.overrides import Overrides
from tracecore_assets.load.parse import YamlSource
from tracecore_assets.load.program import job_name
from tracecore_assets.load.recent_programs import recent_programs
from tracecore_assets.resolve import ResolvedProgram, load_program, resolve
from tracecore_assets.run.progress import Progress
from tracecore_assets.run.session import Session

__all__ = ["VehicleProgram", "defs", "program_definitions", "workspace_definitions"]

_log = logging.getLogger(__name__)


def _definitions(program: ResolvedProgram, host: PluginHost, workspace: NamedWorkspace | None = None) -> dg.Definitions:
    """Return a program's Dagster definitions, whose runs write to `workspace` or, if it is None, to the workspace named by the host's settings."""
    named = workspace or NamedWorkspace(host.settings)
    opened: dict[str, Session] = {}
    current: dict[str, dg.AssetExecutionContext] = {}

    def session(context: dg.AssetExecutionContext) -> Session:
        run = context.run
        current["step"] = context
        if run.run_id not in opened:
            request_of_run(program, run.run_config)
            progress = Progress(lambda line: current["step"].log.info(line.strip()))
            opened[run.run_id] = Session(program, Workspace.open(named), host, run=run.run_id, progress=progress)
        return opened[run.run_id]

    @dg.resource(description="Closes the run's session, which keeps the store from being pruned, when the run ends.")
    def ended(context: dg.InitResourceContext) -> Iterator[None]:
        try:
            yield
        finally:
            if context.run is not None and (done := opened.pop(context.run.run_id, None)) is not None:
                done.close()

    return definitions(program, session, {f"{job_name(program.name)}_session": ended})


def program_definitions(program: str | Path, overrides: Overrides | None = None) -> dg.Definitions:
    """Return the assets, checks and build job of a program (shipped name or path), to be merged with other Dagster definitions.

    Runs write to the workspace of `TRACECORE_HOME`. Raises UsageError if the program is invalid.
    """
    host = PluginHost.load()
    return _definitions(load_program(program, overrides, host=host), host)


class VehicleProgram(dg.Component):
    """Dagster component of a vehicle program: its assets, checks and build job; relative paths in the program start from `base`."""

    def __init__(self, program: programs.VehicleProgram, base: Path) -> None:
        self.program = program
        self.base = base

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the pydantic model by which Dagster validates the component's `attributes`."""
        return programs.VehicleProgram

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Return the component of a vehicle program made from its `attributes`, which Dagster has validated by `get_model_cls`."""
        assert isinstance(attributes, programs.VehicleProgram), "Dagster validates the attributes by get_model_cls"
        return cls(attributes, Path(context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  # Dagster's own signature
        """Return the program's Dagster definitions; runs write to the workspace that `TRACECORE_HOME` names."""
        host = PluginHost.load()
        return _definitions(resolve(self.program, YamlSource(str(self.base / "defs.yaml"), self.base, None, {}), host), host)


def workspace_definitions(named: NamedWorkspace) -> dg.Definitions:
    """Return the definitions of all programs of a workspace. A program that can't be loaded, or with another's job name, is logged and left out."""
    host = PluginHost.load(named.settings)
    workspace = Workspace.open(named)
    found: dict[str, dg.Definitions] = {}
    for entry in recent_programs(workspace):
        try:
            program = load_program(entry.source, entry.overrides, host=host)
        except TracecoreError as problem:
            _log.warning("The program '%s' is not shown: %s", entry.name, problem)
            continue
        job = job_name(program.name)
        if job in found:
            # Dagster's names have no hyphens: `night-fleet` and `night_fleet` would clash, and the whole page would fail.
            _log.warning("The program '%s' is not shown: its job would have the name of another program's, %s.", entry.name, job)
            continue
        found[job] = _definitions(program, host, named)
    own = dg.Definitions(executor=dg.in_process_executor, sensors=[failed_checks_sensor(named.settings.notify)])
    return dg.Definitions.merge(own, *found.values())


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of all programs of the workspace named by the settings (code location of `tracecore ui`)."""
    return workspace_definitions(NamedWorkspace(Settings.read()))
