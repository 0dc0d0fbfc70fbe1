"""What a run ran on: Python, the machine type and every installed distribution, under one digest."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from functools import cache

from tracecore.distributions import installed
from tracecore_schemas.canonical import digest_json
from tracecore_schemas.run import Environment

__all__ = ["accelerator", "current_environment", "host_name"]


def current_environment() -> Environment:
    """Describe what is installed now.

    The digest covers distributions, Python and machine type, not the kernel or the machine's name: two machines set up alike agree.
    """
    distributions = tuple((name, each.version, each.digest) for name, each in installed().items())
    python = platform.python_version()
    machine = platform.machine()
    digest = digest_json({"distributions": [list(each) for each in distributions], "python": python, "machine": machine})
    return Environment(digest=digest, python=python, machine=machine, os=_os_words(), distributions=distributions)


def _os_words() -> str:
    """Name the operating system for people: `Debian GNU/Linux 12 (bookworm)`."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME") or platform.system()
    except OSError:
        return f"{platform.system()} {platform.release()}".strip()


def host_name() -> str:
    """Give this machine's name."""
    return socket.gethostname()


@cache
def accelerator() -> str | None:
    """Name the GPU that runs could use and its compute capability (`NVIDIA H200, 9.0`), None where there is none.

    Asked of nvidia-smi: importing torch for it would cost every command seconds.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return None
    try:
        answer = subprocess.run(  # noqa: S603  # the tool found on PATH, with fixed arguments
            [tool, "--query-gpu=name,compute_cap", "--format=csv,noheader"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next((line.strip() for line in answer.stdout.splitlines() if line.strip()), None)
