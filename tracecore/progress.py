"""How a running stage says how far it is: the executor passes it on, a terminal, Dagster or nobody listens."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """Whoever listens. Whatever it raises is logged and disturbs no run."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See that `done` of `total` steps are done; `total` 0 says that nobody knows how many there are."""
