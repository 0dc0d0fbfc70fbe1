"""One server of workers for all builds of a pytest process: it has loaded the kernel alone, and each would take a second to do the same."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tracecore.worker import workers
from tracecore.worker.environment import server_environment

_OWN = workers._start
_started: dict[tuple[object, ...], tuple[socket.socket, Any]] = {}


def start() -> tuple[socket.socket, Any]:
    """Return a socket to the server of this import path, folder and environment; closing it ends that build's use alone."""
    environment = {name: value for name, value in server_environment(os.environ).items() if name != "PYTEST_CURRENT_TEST"}
    key = (*sys.path, str(Path.cwd()), os.getpid(), *sorted(environment.items()))
    control, server = _started.get(key, (None, None))
    if control is None or server.poll() is not None:
        control, server = _started[key] = _OWN()
    return control.dup(), SimpleNamespace(wait=server.poll, pid=server.pid)
