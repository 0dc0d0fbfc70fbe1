"""What a soak has a worker of its build do: the stages of the soaks' plugin ask here, in the process that runs them."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from witness import kill_after

__all__ = ["ORDERS", "STAGES", "allow_tracing", "obey", "traced_worker"]

ORDERS = "SOAK_WORKER"
"""Environment variable of a build whose worker is killed or watched; empty in every other."""
STAGES = ("two-gather", "two-sum")


def obey(stage: str) -> None:
    """Have this worker killed in a while, or wait until the process that watches its system calls is ready.

    Args:
        stage: that runs; `import` where none does yet.
    """
    said: Mapping[str, Any] = json.loads(os.environ[ORDERS])
    if said["stage"] != stage:
        return
    if "after" in said:
        kill_after(said["after"])
        return
    allow_tracing()
    gate = Path(said["gate"])
    _pid_file(gate).write_text(str(os.getpid()), encoding="utf-8")
    with gate.open("rb", buffering=0) as opened:
        opened.read(1)


def traced_worker(gate: Path) -> int:
    """Return the id of the worker that waits at a gate."""
    return int(_pid_file(gate).read_text(encoding="utf-8"))


def allow_tracing() -> None:
    """Let a process that is not our parent trace us, where Yama would forbid it."""
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & (2**64 - 1)), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY


def _pid_file(gate: Path) -> Path:
    return gate.with_name(f"{gate.name}.pid")
