"""What makes a drive file unfit: one exception, whose text is the reason the record keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Damaged", "Undecoded", "damage_where"]


class Damaged(Exception):
    """A drive file that can't be trusted, or a message that is not what its topic says; it says what was expected, what was found, and where."""


class Undecoded(Damaged):
    """A sound message of a kind that is not read."""


@contextmanager
def damage_where(place: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors of a parser into `Damaged`, saying where in the file they arose.

    Args:
        place: where, in words (`message 3 of topic '/gnss'`).
        errors: what the parser raises on bad bytes.
    """
    try:
        yield
    except Damaged as problem:
        raise Damaged(f"{place}: {problem}") from problem
    except errors as problem:
        text = " ".join(str(problem).split()) or type(problem).__name__
        raise Damaged(f"{place}: {text}") from problem
