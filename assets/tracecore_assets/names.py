"""How things of a program are called in Dagster, whose names hold letters, digits and underscores only."""

from __future__ import annotations

import re

__all__ = ["RELEASE", "asset_path", "group_name", "job_name", "op_name"]

RELEASE = "release"
"""The asset that stands for the sealed build, and the last part of the release run's job."""


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def job_name(program: str) -> str:
    """Name the job that makes a program's builds."""
    return f"build_{_plain(program)}"


def group_name(program: str) -> str:
    """Name the group that a program's assets stand in."""
    return _plain(program)


def op_name(program: str, asset: str) -> str:
    """Name the step that makes an asset."""
    return f"{_plain(program)}__{_plain(asset)}"


def asset_path(program: str, asset: str, port: str | None = None) -> list[str]:
    """Give the Dagster asset key of an output: `[program, asset, port?]`."""
    return [program, asset] if port is None else [program, asset, port]
