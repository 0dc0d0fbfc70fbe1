"""A worker's process: its environment variables, its end with its parent, and a guard against forks by a stage."""

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
"""Prevents the preloaded NumPy's OpenBLAS from starting threads, with which a fork may hang."""


def server_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of the worker server: `environment` without `TRACECORE_*` (may contain credentials), one OpenBLAS thread."""
    return {**{name: value for name, value in environment.items() if not name.startswith("TRACECORE_")}, **_SERVER}


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return a worker's environment variables: the build's without `TRACECORE_*`, with the thread count and OpenMP's waiting policy set.

    GNU OpenMP, which torch uses, spins about 300,000 rounds at each barrier. Where another process competes for a core, each of a training step's
    thousand barriers waits for a thread that is not running, which made training two to five times slower. With 2,500 rounds a step took 68 ms on
    an idle machine (69 by default). Next to another training it took 190 ms (far more by default). Results do not change. A waiting policy set in
    the build's environment is kept.
    """
    waiting = {} if "OMP_WAIT_POLICY" in environment else {"GOMP_SPINCOUNT": "2500"}
    kept = {name: value for name, value in environment.items() if not name.startswith("TRACECORE_")}
    return {**_SERVER, **waiting, **kept, "OMP_NUM_THREADS": str(threads)}


_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the operating system kill this process when its parent process `parent` ends, or at once if that has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def process_guard() -> Iterator[None]:
    """Context manager for running a stage; a child process forked inside it is ended when it reaches the end of the context.

    A child that a stage forked and that returns, raises or exits would otherwise continue as a second executor of the run: put outputs, empty
    staging, record the end and release the lock.
    """
    process = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != process:
            _end(error)
        raise
    finally:
        if os.getpid() != process:
            _end(None)


def _end(error: BaseException | None) -> None:
    """Exit a forked child process with the exit code that Python uses for `error` (0 for None), without running its parent's cleanup code."""
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
