"""What a verification found: failures, each with what was expected, and how much was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

from sqlalchemy.exc import SQLAlchemyError

__all__ = ["NONSENSE", "Checked", "ErasedPart", "Failure", "Findings", "Progress", "Verdict", "describe"]

NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, SQLAlchemyError, TypeError, ValueError)
"""What members of the wrong kind raise where they are used: a number beyond all columns, a list for a text, an event that is there twice."""
_LONGEST = 300

Progress = Callable[[int, int, str], None]
"""Called with how much is done, the total, and what was last."""


def describe(error: Exception) -> str:
    """Return an error in one bounded line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words if len(words) <= _LONGEST else words[:_LONGEST] + '…'}"


class Failure(TypedDict):
    """One thing that is not as recorded: `ref` says of what, `what` which part of it."""

    ref: str
    what: str
    expected: str
    found: str


class ErasedPart(TypedDict):
    """Something that is gone on purpose, and no failure: of what, how much, why, and by which run."""

    ref: str
    what: str
    why: str
    by: str


class Checked(TypedDict):
    """How much was looked at."""

    artifacts: int
    bytes: int
    events: int
    signatures: int


class Verdict(TypedDict):
    """The answer of `verify`, in the shape of the public contract."""

    ok: bool
    key: str
    checked: Checked
    failures: list[Failure]
    erased: list[ErasedPart]


@dataclass(slots=True)
class Findings:
    """The growing result of a verification."""

    failures: list[Failure] = field(default_factory=list)
    erased: list[ErasedPart] = field(default_factory=list)
    seen: set[tuple[str, ...]] = field(default_factory=set)
    checked: Checked = field(default_factory=lambda: Checked(artifacts=0, bytes=0, events=0, signatures=0))

    def fail(self, ref: str, what: str, expected: object, found: object) -> None:
        """Note a failure, once."""
        told = (ref, what, str(expected), str(found))
        if told not in self.seen:
            self.seen.add(told)
            self.failures.append(Failure(ref=ref, what=what, expected=told[2], found=told[3]))

    def equal(self, ref: str, what: str, expected: object, found: object) -> bool:
        """Note a failure unless both are the same."""
        if expected != found:
            self.fail(ref, what, expected, found)
        return expected == found

    def verdict(self, *, pinned: bool) -> Verdict:
        """Return the answer."""
        return Verdict(ok=not self.failures, key="pinned" if pinned else "unpinned", checked=self.checked, failures=self.failures, erased=self.erased)
