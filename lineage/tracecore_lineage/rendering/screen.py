"""Where drawings for people go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracecore.cli import console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["WHOLE", "screen"]

WHOLE = 100_000
"""Columns of a file or pipe: what is drawn there is never cut."""


def screen() -> Console:
    """Give stdout as rich draws on it: as wide as the terminal, and whole lines into a file or pipe."""
    target = console()
    if not target.is_terminal:
        target.width = WHOLE  # soft wrapping, which would do for plain text, doesn't reach into trees and tables
    return target
