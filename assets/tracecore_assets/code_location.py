"""What the page's code server loads: the programs of the workspace that `tracecore ui` names, each with its assets, checks and build job.

`dagster-webserver` starts this in a process of its own, and each run launched from the page in another; its settings, the workspace
among them, are read here, where the process enters.
"""

from __future__ import annotations

import logging

import dagster as dg

from tracecore.errors import TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.definitions import definitions
from tracecore_assets.loading import load_program
from tracecore_assets.names import job_name
from tracecore_assets.notifications import failed_checks_sensor
from tracecore_assets.remembered import remembered
from tracecore_assets.run_sessions import run_sessions

__all__ = ["defs", "program_definitions"]

_log = logging.getLogger(__name__)


def program_definitions(named: NamedWorkspace) -> dg.Definitions:
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
    return program_definitions(NamedWorkspace(Settings.read()))
