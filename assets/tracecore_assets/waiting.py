"""How the threads of a stage wait for each other."""

from __future__ import annotations

import os

__all__ = ["wait_calmly"]


def wait_calmly() -> None:
    """Let OpenMP's threads sleep soon when they wait, instead of spinning for milliseconds; call it before torch is imported.

    GNU's OpenMP, which torch brings, spins about 300,000 rounds at each barrier. Alone on a machine that costs nothing; where something else
    wants a core, each of the thousand barriers of a training step waits for a thread that is not running, and training was measured to be
    two to five times slower. What is computed does not change. Whoever sets one of these variables keeps what they set.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
