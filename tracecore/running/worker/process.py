"""A worker's process: its environment variables, its end with its parent, and a guard against forks and directory changes by a stage."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

__all__ = ["end_with_parent", "process_guard", "server_environment", "worker_environment"]

_SERVER = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy is preloaded, and its OpenBLAS would start threads with it: a fork after that may hang."""


def server_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server of workers.

    The build's settings stay with the build: what a worker needs of them is in its job, and a stage never sees their credentials.
    """
    return {**{name: value for name, value in environment.items() if not name.startswith("TRACECORE_")}, **_SERVER}


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a worker: how many threads numeric libraries take in it, and how these wait.

    GNU's OpenMP, which torch brings, spins about 300,000 rounds at each barrier. On an idle machine that costs nothing; where something else wants a
    core, each of the thousand barriers of a training step waits for a thread that is not running, and training was measured to be two to five times
    slower. What is computed does not change.
    2,500 rounds cost neither: a step took 68 ms on an idle machine (100 ms with 1,000, 69 with all) and 190 ms next to another
    training (188 and far more).

    Args:
        environment: of the build; what it says of waiting stays, and how many threads there are is as the run records it.
    """
    waiting = {} if "OMP_WAIT_POLICY" in environment else {"GOMP_SPINCOUNT": "2500"}
    kept = {name: value for name, value in environment.items() if not name.startswith("TRACECORE_")}
    return {**_SERVER, **waiting, **kept, "OMP_NUM_THREADS": str(threads)}


_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; at once where it has ended already, of which the kernel sends no signal."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def process_guard() -> Iterator[None]:
    """Let a stage run, and come out of it as the process that went in, in the directory that it was in.

    A child that a stage forked and that then returns, raises or calls `sys.exit` ends here. It would else go on as a second executor of the same run:
    put outputs, empty the staging folder, record the run's end, and let go of its lock.
    """
    process, folder = os.getpid(), _folder()
    try:
        yield
    except BaseException as error:
        if os.getpid() != process:
            _end(error)
        raise
    finally:
        if os.getpid() != process:
            _end(None)
        if folder is not None and _folder() != folder:
            with suppress(OSError):  # it was removed meanwhile
                os.chdir(folder)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # as text, to be compared
    except OSError:
        return None


def _end(error: BaseException | None) -> None:
    """End a child as Python would have, without running what belongs to its parent."""
    code: object = 0
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(int(str(code)) & 0xFF)
