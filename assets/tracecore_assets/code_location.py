"""What the page's code server loads: the programs of the workspace that `tracecore ui` names, each with its assets, checks and build job.

`dagster-webserver` starts this in a process of its own, and each run launched from the page in another; the workspace comes by `TRACECORE_HOME`.
"""

from __future__ import annotations

import logging

import dagster as dg

from tracecore.errors import TracecoreError
from tracecore.host import PluginHost
from tracecore.workspace import Workspace
from tracecore_assets.definitions import SessionFactory, definitions, request_of_run
from tracecore_assets.loading import load_program
from tracecore_assets.remembered import remembered
from tracecore_assets.session import Session
from tracecore_assets.wiring import WiredProgram

__all__ = ["defs"]

_log = logging.getLogger(__name__)


def _definitions(workspace: Workspace) -> dg.Definitions:
    host = PluginHost.load()
    found = []
    for entry in remembered(workspace):
        try:
            wired = load_program(entry.source, entry.overrides, host=host)
        except TracecoreError as problem:
            _log.warning("The program '%s' is not shown: %s", entry.name, problem)
            continue
        found.append(definitions(wired, _sessions(wired, workspace, host)))
    return dg.Definitions.merge(*found) if found else dg.Definitions()


def _sessions(wired: WiredProgram, workspace: Workspace, host: PluginHost) -> SessionFactory:
    opened: dict[str, Session] = {}

    def session(context: dg.AssetExecutionContext) -> Session:
        run = context.run
        if run.run_id not in opened:
            request_of_run(wired, run.run_config)
            opened[run.run_id] = Session(wired, workspace, host, run=run.run_id)
        return opened[run.run_id]

    return session


@dg.definitions
def defs() -> dg.Definitions:
    """Give the definitions of all programs of the workspace."""
    return _definitions(Workspace.open())
