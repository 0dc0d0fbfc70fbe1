"""Label folders with one text file an image."""

from __future__ import annotations

from pathlib import Path

import tracecore as tc

__all__ = ["read_text", "wrong_line"]


def read_text(path: Path, name: str) -> list[str]:
    """Read a label file's lines.

    Raises:
        UsageError: it is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise tc.UsageError(f"The label file {name} can't be taken: it is no UTF-8 text (byte {error.start}).") from error


def wrong_line(name: str, number: int, what: str) -> tc.UsageError:
    """Say what is wrong with a line; lines count from 1."""
    return tc.UsageError(f"The label file {name} can't be taken: line {number} {what}.")
