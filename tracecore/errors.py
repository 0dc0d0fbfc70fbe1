"""The errors a user can cause, each with its exit code, and the nearest right name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["NegativeVerdict", "RunFailed", "TracecoreError", "UsageError", "nearest", "suggestion"]


class TracecoreError(Exception):
    """Any error whose message is one clear sentence for the user; `exit_code` is the CLI's answer."""

    exit_code = 2


class UsageError(TracecoreError):
    """Bad input or usage: a missing file, an unknown name, a program that can't be (exit 2)."""


class NegativeVerdict(TracecoreError):
    """The answer to what was asked is no: a gate failed, a check failed, a verification failed (exit 1)."""

    exit_code = 1


class RunFailed(TracecoreError):
    """A stage ran and failed (exit 3)."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a mistyped one, or None where none is near."""
    options = list(known)
    lowered = {option.lower(): option for option in options}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    if found:
        return lowered[found[0]]
    return next((option for option in options if name and (name.lower() in option.lower())), None)


def suggestion(name: str, known: Iterable[str], *, none_known: str = "There are none.") -> str:
    """Return the second half of an error sentence: the nearest right name, else every right name."""
    options = sorted(set(known))
    found = nearest(name, options)
    if found is not None:
        return f"Did you mean '{found}'?"
    if not options:
        return none_known
    return f"Known: {', '.join(options)}."
