"""How many threads numeric libraries take in a worker, and how these wait: set before any of them is loaded."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SERVER", "thread_settings"]

SERVER = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy is preloaded, and its OpenBLAS would start threads with it: a fork after that may hang."""


def thread_settings(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return what a worker's environment gets.

    GNU's OpenMP, which torch brings, spins about 300,000 rounds at each barrier. Alone on a machine that costs nothing; where something else wants a
    core, each of the thousand barriers of a training step waits for a thread that is not running, and training was measured to be two to five times
    slower. What is computed does not change.

    Args:
        environment: of the build; a variable that is set in it stays.
        threads: intra-op CPU threads of the stage.
    """
    wanted = {**SERVER, "OMP_NUM_THREADS": str(threads)}
    if "OMP_WAIT_POLICY" not in environment:
        wanted["GOMP_SPINCOUNT"] = "1000"
    return {name: value for name, value in wanted.items() if name not in environment}
