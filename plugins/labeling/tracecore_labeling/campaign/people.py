"""Pseudonyms: random for people, from the seed for simulated labelers."""

from __future__ import annotations

import hashlib
import secrets

from tracecore.errors import UsageError
from tracecore_labeling.provenance import is_pseudonym

__all__ = ["checked_pseudonym", "new_pseudonym", "simulated_pseudonym"]


def new_pseudonym() -> str:
    """Make a random pseudonym."""
    return f"labeler-{secrets.token_hex(4)}"


def simulated_pseudonym(seed: int, number: int) -> str:
    """Give a simulated labeler's pseudonym."""
    return f"labeler-{hashlib.sha256(f'{seed} labeler {number}'.encode()).hexdigest()[:8]}"


def checked_pseudonym(text: str | None) -> str:
    """Take a pseudonym that somebody gives.

    Raises:
        UsageError: it is missing, or could be a name; a new random one is offered.
    """
    if text is None:
        raise UsageError(f"Say who you are by a pseudonym: --as {new_pseudonym()} (this one is random and new; keep it).")
    if not is_pseudonym(text):
        raise UsageError(
            f"'{text}' could be somebody's name, which must not enter the record: use a pseudonym like {new_pseudonym()} (random and new)."
        )
    return text
