"""Which steps are our own: a program's, whose runs the executor records itself, so that its events in Dagster's log are not recorded again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import AssetKey

__all__ = ["claim", "is_own"]

_OWN: dict[str, set[AssetKey]] = {}


def claim(step: str, keys: Iterable[AssetKey]) -> None:
    """Note a step of a program and what it makes; whatever executes it has made its definition first, in the same process."""
    _OWN.setdefault(step, set()).update(keys)


def is_own(step: str, planned: Iterable[AssetKey]) -> bool:
    """Whether a step is a program's: by its name and by what it is to make, for a stranger's step may be called the same."""
    return not _OWN.get(step, set()).isdisjoint(planned)
