"""Records that old versions wrote (tests/fixtures), each in a copy of its own."""

from __future__ import annotations

import tarfile
from pathlib import Path

__all__ = ["FIRST", "unpack_first"]

FIRST = Path(__file__).parent / "fixtures" / "first_workspace"
"""The workspace of the first landed version, its keys, checkpoints and answers."""


def unpack_first(folder: Path) -> Path:
    """Unpack it below a folder and give the workspace's own; files keep their modes: private keys are their owner's."""
    with tarfile.open(FIRST / "workspace.tar.gz") as packed:
        packed.extractall(folder, filter="tar")
    return folder / "first"
