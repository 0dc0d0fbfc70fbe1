"""One-line facet summaries, recorded with each facet so that a trace is readable without the plugin that wrote it."""

from __future__ import annotations

from typing import Any

__all__ = ["LONGEST", "count", "size", "summarize", "wrong_summary"]

LONGEST = 120
"""Maximum number of characters in a summary."""

_BETWEEN = " · "


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where needed: `1 frame`, `1,204 frames`, `2 batches`."""
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}es" if noun.endswith(("ch", "sh", "x", "s")) and noun != "epoch" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def size(size_bytes: int) -> str:
    """Return a number of bytes in decimal units: `83 bytes`, `4.8 MB`."""
    number = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def summarize(*parts: str) -> str:
    """Return the parts joined into one summary of at most `LONGEST` characters, most important part first.

    Empty parts and parts that no longer fit are left out; a first part that is too long is cut. Line breaks become spaces, other control characters
    U+FFFD.
    """
    found = ""
    for part in (_printable(each) for each in parts):
        joined = f"{found}{_BETWEEN}{part}" if found and part else found or part
        if len(joined) <= LONGEST:
            found = joined
        elif not found:
            found = f"{joined[: LONGEST - 1].rstrip()}…"
    return found


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def wrong_summary(value: Any) -> str | None:
    """Return why a facet's `summary` is invalid, phrased to follow "its summary", or None if it is valid."""
    if not isinstance(value, str):
        return "is missing" if value is None else f"is of type {type(value).__name__}"
    if not value.strip():
        return "is empty"
    if len(value) > LONGEST:
        return f"has {len(value)} characters"
    return None if value.isprintable() else "holds a line break or a control character"
