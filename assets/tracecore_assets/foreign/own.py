"""Which steps are our own: a program's, whose runs the executor records itself, so that its events in Dagster's log are not recorded again."""

from __future__ import annotations

__all__ = ["claim", "is_own"]

_OWN: set[str] = set()


def claim(step: str) -> None:
    """Note a step of a program; whatever executes it has made its definition first, in the same process."""
    _OWN.add(step)


def is_own(step: str) -> bool:
    """Say whether a step is of a program."""
    return step in _OWN
