"""The Dagster instance of a workspace, shared by builds from the command line and the Dagster UI."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.files import write_durably
from tracecore.system.locks import hold_named
from tracecore.workspace import Workspace

if TYPE_CHECKING:
    from dagster import DagsterInstance

__all__ = ["dagster_home", "dagster_instance", "process_tags", "workspace_file"]

_EVENT_LOG_BEFORE = b"tracecore_assets.foreign.event_log"
_HOST_TAG, _PROCESS_TAG = "tracecore/host", "tracecore/process"


def dagster_home(workspace: Workspace) -> str:
    """Create the workspace's `DAGSTER_HOME` with tracecore's `dagster.yaml`, unless it has one; return its absolute path."""
    home = workspace.dagster.absolute()
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        write_durably(settings, (resources.files("tracecore_assets") / "dagster.yaml").read_bytes())
    elif _EVENT_LOG_BEFORE in (written := settings.read_bytes()):  # a workspace made before the module moved
        write_durably(settings, written.replace(_EVENT_LOG_BEFORE, b"tracecore_assets.external_assets.event_log"))
    return str(home)


def workspace_file(workspace: Workspace) -> str:
    """Write the `workspace.yaml` of the Dagster UI (one code location, loaded by this interpreter) and return its path."""
    location = {"module_name": "tracecore_assets.code_location", "location_name": "tracecore", "executable_path": sys.executable}
    file = Path(dagster_home(workspace)) / "workspace.yaml"
    write_durably(file, json.dumps({"load_from": [{"python_module": location}]}, indent=2).encode() + b"\n")
    return str(file)


@contextmanager
def dagster_instance(workspace: Workspace) -> Iterator[DagsterInstance]:
    """Open a workspace's Dagster instance for a block. Runs of dead processes are marked as failed, and steps kept in files are recorded."""
    from dagster import DagsterInstance

    from tracecore_assets.external_assets.event_log import recording_into
    from tracecore_assets.external_assets.recording import pending, record_pending

    # Concurrent creation of Dagster's SQLite files would break their migrations.
    with hold_named(workspace.locks, "dagster"), recording_into(workspace):
        instance = DagsterInstance.from_config(dagster_home(workspace))
        instance.get_runs(limit=1)
        _close_dead_runs(instance)
    if pending(workspace):
        from tracecore_lineage import Record

        with Record.open(workspace) as record:
            record_pending(record)
    with instance:
        yield instance


def process_tags() -> dict[str, str]:
    """Return Dagster run tags with the host and id of this process, so that a later process can detect that it died during a run."""
    return {_HOST_TAG: socket.gethostname(), _PROCESS_TAG: str(os.getpid())}


def _close_dead_runs(instance: DagsterInstance) -> None:
    """Mark running Dagster runs of dead processes on this host as failed."""
    from dagster import DagsterRunStatus, RunsFilter

    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING])):
        if run.tags.get(_HOST_TAG) == socket.gethostname() and not _is_alive(int(run.tags[_PROCESS_TAG])):
            instance.report_run_failed(run, "The process that ran this build is gone. 'tracecore recover' closes its open runs in the record.")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
