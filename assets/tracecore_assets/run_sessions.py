"""Sessions of runs that Dagster starts by itself: one a run, opened by its first step, in the process that the run is executed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracecore.plugins.host import PluginHost
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.definitions import SessionFactory, request_of_run
from tracecore_assets.progress import Lines
from tracecore_assets.session import Session
from tracecore_assets.wiring import WiredProgram

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["run_sessions"]


def run_sessions(wired: WiredProgram, host: PluginHost, workspace: NamedWorkspace | None = None) -> SessionFactory:
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
