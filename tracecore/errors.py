"""The exceptions for errors that a user can cause, each with its exit code, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["NegativeVerdict", "RunFailed", "TracecoreError", "UsageError", "nearest", "suggestion"]


class TracecoreError(Exception):
    """Base of errors whose message is one sentence for the user; `exit_code` is the exit code of the CLI."""

    exit_code = 2


class UsageError(TracecoreError):
    """Invalid input or usage: a missing file, an unknown name, an invalid program (exit 2)."""


class NegativeVerdict(TracecoreError):
    """The answer is no: a gate, a check or a verification failed (exit 1)."""

    exit_code = 1


class RunFailed(TracecoreError):
    """A stage ran and failed (exit 3)."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of the `known` names that is most similar to the mistyped `name`; None if none is similar."""
    options = list(known)
    lowered = {option.lower(): option for option in options}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    if found:
        return lowered[found[0]]
    return next((option for option in options if name and (name.lower() in option.lower())), None)


def suggestion(name: str, known: Iterable[str], *, none_known: str = "There are none.") -> str:
    """Return the hint for a name that does not exist: a question with the most similar known name, else all known names, else `none_known`."""
    options = sorted(set(known))
    found = nearest(name, options)
    if found is not None:
        return f"Did you mean '{found}'?"
    if not options:
        return none_known
    return f"Known: {', '.join(options)}."
