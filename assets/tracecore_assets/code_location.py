"""How Dagster loads programs: as a component, as definitions in another project, and as the code location of `tracecore ui`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from tracecore.errors import TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.define.definitions import SessionFactory, definitions, request_of_run
from tracecore_assets.define.notifications import failed_checks_sensor
from tracecore_assets.load import program as programs
from tracecore_assets.load.overrides import Overrides
from tracecore_assets.load.parse import YamlSource
from tracecore_assets.load.program import job_name
from tracecore_assets.load.recent_programs import remembered
from tracecore_assets.resolve import ResolvedProgram, load_program, resolve
from tracecore_assets.run.progress import Lines
from tracecore_assets.run.session import Session

__all__ = ["VehicleProgram", "defs", "program_definitions", "run_sessions", "workspace_definitions"]


def run_sessions(wired: ResolvedProgram, host: PluginHost, workspace: NamedWorkspace | None = None) -> SessionFactory:
    """Return what opens the session of a run.

    Args:
        wired: the program.
        host: the installed plugins.
        workspace: where everything goes; the one that the host's settings name where None. It must be there: no run of Dagster's makes one.
    """
    named = workspace or NamedWorkspace(host.settings)
    opened: dict[str, Session] = {}
    current: dict[str, dg.AssetExecutionContext] = {}

    def tell(line: str) -> None:
        """Put a line into the log of the step that runs now."""
        current["step"].log.info(line.strip())

    def session(context: dg.AssetExecutionContext) -> Session:
        run = context.run
        current["step"] = context
        if run.run_id not in opened:
            request_of_run(wired, run.run_config)
            opened[run.run_id] = Session(wired, Workspace.open(named), host, run=run.run_id, progress=Lines(tell))
        return opened[run.run_id]

    return session


def program_definitions(program: str | Path, overrides: Overrides | None = None) -> dg.Definitions:
    """Return the assets, checks and build job of a program, to be merged with others; what they make goes into the workspace of `TRACECORE_HOME`.

    Args:
        program: a shipped program's name, or a path.
        overrides: what is changed in it.

    Raises:
        UsageError: what is wrong with the program.
    """
    host = PluginHost.load()
    wired = load_program(program, overrides, host=host)
    return definitions(wired, run_sessions(wired, host))


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
        """Return the shape of `attributes`: a program's own."""
        return programs.VehicleProgram

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Take the program as Dagster has read it."""
        assert isinstance(attributes, programs.VehicleProgram), "Dagster validates the attributes by get_model_cls"
        return cls(attributes, Path(context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  # Dagster's own signature
        """Join the program to the installed stages; runs go into the workspace that `TRACECORE_HOME` names."""
        host = PluginHost.load()
        wired = resolve(self.program, YamlSource(str(self.base / "defs.yaml"), self.base, None, {}), host)
        return definitions(wired, run_sessions(wired, host))


_log = logging.getLogger(__name__)


def workspace_definitions(named: NamedWorkspace) -> dg.Definitions:
    """Return the definitions of all programs of a workspace; one that can't be loaded is told in the log and not shown."""
    host = PluginHost.load(named.settings)
    workspace = Workspace.open(named)
    found: dict[str, dg.Definitions] = {}
    for entry in remembered(workspace):
        try:
            wired = load_program(entry.source, entry.overrides, host=host)
        except TracecoreError as problem:
            _log.warning("The program '%s' is not shown: %s", entry.name, problem)
            continue
        job = job_name(wired.name)
        if job in found:
            # Dagster's names know no hyphens: one of `night-fleet` and `night_fleet` would take the whole page down.
            _log.warning("The program '%s' is not shown: Dagster would call it like another, %s.", entry.name, job)
            continue
        found[job] = definitions(wired, run_sessions(wired, host, named))
    own = dg.Definitions(executor=dg.in_process_executor, sensors=[failed_checks_sensor(named.settings.notify)])
    return dg.Definitions.merge(own, *found.values())


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of all programs of the workspace."""
    return workspace_definitions(NamedWorkspace(Settings.read()))
