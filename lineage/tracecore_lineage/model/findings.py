"""Result of a verification: failures, erased parts, and counts of what was checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

from sqlalchemy.exc import SQLAlchemyError

__all__ = ["NONSENSE", "Checked", "ErasedPart", "Failure", "Findings", "Progress", "Verdict", "describe"]

NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, SQLAlchemyError, TypeError, ValueError)
"""Errors raised when members of the wrong type or range are used, such as a list instead of a string, or a duplicate event."""
_LONGEST = 300

Progress = Callable[[int, int, str], None]
"""Called with the amount done, the total, and the last item."""


def describe(error: Exception) -> str:
    """Return an error as one line, `<type>: <message>`, with the message cut to 300 characters."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words if len(words) <= _LONGEST else words[:_LONGEST] + '…'}"


class Failure(TypedDict):
    """Something that differs from the record: `ref` is its subject, `what` the part that differs."""

    ref: str
    what: str
    expected: str
    found: str


class ErasedPart(TypedDict):
    """Something that was deliberately erased, which is not a failure; `by` is the run."""

    ref: str
    what: str
    why: str
    by: str


class Checked(TypedDict):
    """Counts of what was checked."""

    artifacts: int
    bytes: int
    events: int
    signatures: int


class Verdict(TypedDict):
    """The answer of `verify`, as promised in the public contract."""

    ok: bool
    key: str
    checked: Checked
    failures: list[Failure]
    erased: list[ErasedPart]


@dataclass(slots=True)
class Findings:
    """Collects the results of a verification."""

    failures: list[Failure] = field(default_factory=list)
    erased: list[ErasedPart] = field(default_factory=list)
    seen: set[tuple[str, ...]] = field(default_factory=set)
    checked: Checked = field(default_factory=lambda: Checked(artifacts=0, bytes=0, events=0, signatures=0))

    def fail(self, ref: str, what: str, expected: object, found: object) -> None:
        """Add a verification failure: part `what` of `ref` is `found`, not `expected`. An identical failure is added only once."""
        failure = (ref, what, str(expected), str(found))
        if failure not in self.seen:
            self.seen.add(failure)
            self.failures.append(Failure(ref=ref, what=what, expected=failure[2], found=failure[3]))

    def equal(self, ref: str, what: str, expected: object, found: object) -> bool:
        """Whether `expected` equals `found`; if not, also adds a verification failure for part `what` of `ref`."""
        if expected != found:
            self.fail(ref, what, expected, found)
        return expected == found

    def verdict(self, *, pinned: bool) -> Verdict:
        """Return the verdict of `verify` on these findings: `ok` if there are no failures. `pinned` is whether the user supplied the trusted key."""
        return Verdict(ok=not self.failures, key="pinned" if pinned else "unpinned", checked=self.checked, failures=self.failures, erased=self.erased)
