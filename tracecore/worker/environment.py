"""The environment variables of workers and of the server that they are forked from: set here, before either starts."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["server_environment", "worker_environment"]

_SERVER = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy is preloaded, and its OpenBLAS would start threads with it: a fork after that may hang."""


def server_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server of workers.

    The build's settings stay with the build: what a worker needs of them stands in its job, and their credentials are none of a stage's business.

    Args:
        environment: of the build.
    """
    return {**{name: value for name, value in environment.items() if not name.startswith("TRACECORE_")}, **_SERVER}


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a worker: how many threads numeric libraries take in it, and how these wait.

    GNU's OpenMP, which torch brings, spins about 300,000 rounds at each barrier. Alone on a machine that costs nothing; where something else wants a
    core, each of the thousand barriers of a training step waits for a thread that is not running, and training was measured to be two to five times
    slower. What is computed does not change.
    2,500 rounds cost neither: a step took 68 ms alone (100 ms with 1,000, 69 with all) and 190 ms beside another training (188 and far more).

    Args:
        environment: of the build; what it says of waiting stays, and how many threads there are is as the run records it.
        threads: intra-op CPU threads of the stage.
    """
    waiting = {} if "OMP_WAIT_POLICY" in environment else {"GOMP_SPINCOUNT": "2500"}
    kept = {name: value for name, value in environment.items() if not name.startswith("TRACECORE_")}
    return {**_SERVER, **waiting, **kept, "OMP_NUM_THREADS": str(threads)}
