"""Nearest right names for what a user mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest", "suggestion"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that is most like a mistyped one, or None where none is near."""
    options = list(known)
    lowered = {option.lower(): option for option in options}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    if found:
        return lowered[found[0]]
    return next((option for option in options if name and (name.lower() in option.lower())), None)


def suggestion(name: str, known: Iterable[str], *, none_known: str = "There are none.") -> str:
    """Give the second half of an error sentence: the nearest right name, else every right name."""
    options = sorted(set(known))
    found = nearest(name, options)
    if found is not None:
        return f"Did you mean '{found}'?"
    if not options:
        return none_known
    return f"Known: {', '.join(options)}."
