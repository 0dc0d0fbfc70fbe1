"""Reporting what a stage accessed without declaring it: the run facet, the unknown, and the error in strict mode.

In strict mode (`TRACECORE_STRICT_IO=1`, `tracecore build --strict-io`) such a run fails; otherwise its outputs get an unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracecore.running.audit_hook import Access
from tracecore.system.failures import without_places
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import count, summarize
from tracecore_schemas.run import Unknown

__all__ = ["FACET", "UNKNOWN", "UndeclaredAccess"]

FACET = "tracecore_undeclared"
UNKNOWN = "undeclared input"
"""Unknown recorded on outputs of runs that read undeclared files."""

_LISTED = 50
_MEMBERS = {"read": "reads", "write": "writes", "connect": "connects", "start": "starts"}
_NOUNS = {"read": "read", "write": "write", "connect": "connection", "start": "process"}
_PAST = {"read": "read", "write": "wrote", "connect": "talked to", "start": "started"}


@dataclass(frozen=True, slots=True)
class UndeclaredAccess:
    """The undeclared accesses of one run, each once, paths independent of the machine; `more` is the number of those not remembered."""

    accesses: tuple[Access, ...]
    more: int = 0

    @classmethod
    def of(cls, accesses: Sequence[Access], more: int, workspace: Path, base: Path) -> UndeclaredAccess:
        """Return a run's undeclared accesses, with paths independent of the machine; `more` is the number of accesses that `accesses` lacks."""
        return cls(tuple(Access(each.verb, _path_for_display(each.target, workspace, base), each.where) for each in accesses), more)

    def __bool__(self) -> bool:
        return bool(self.accesses or self.more)

    def facet(self) -> dict[str, JSON]:
        """Return the value of the run facet that lists up to 50 undeclared accesses of each kind and counts the further ones."""
        listed: dict[str, JSON] = {}
        left = self.more
        for verb, member in _MEMBERS.items():
            accesses = [each for each in self.accesses if each.verb == verb]
            listed[member] = [{"target": each.target, "where": each.where or None} for each in accesses[:_LISTED]]
            left += len(accesses[_LISTED:])
        found = Counter(each.verb for each in self.accesses)
        words = [count(found[verb], f"undeclared {noun}") for verb, noun in _NOUNS.items() if found[verb]]
        return {"summary": summarize(*words, f"{self.more:,} more" if self.more else ""), **listed, "more": left}

    def unknown(self) -> Unknown | None:
        """Return the statement for the outputs' trace that the run read undeclared inputs; None if its undeclared accesses were only writes."""
        read = [each for each in self.accesses if each.verb != "write"]
        if not read:
            return None
        held = "what that loaded and read" if read[0].verb == "start" else "what that held"
        return Unknown(
            UNKNOWN,
            f"the run {_in_words(read[0])}{_and_more(len(read) - 1 + self.more)}, which nothing handed to it: {held} is not in the record",
        )

    def sentence(self, subject: str) -> str:
        """Return a message that `subject`, a stage in words, accessed something undeclared, with advice on what to do instead."""
        if not self.accesses:
            return f"{subject} touched {self.more} things that nothing handed to it, and which could not be told apart."
        first = self.accesses[0]
        advice = {
            "read": "declare it as an input (tc.Input) or as files (tc.Files)",
            "write": "declare an output and write under context.path",
            "start": "do its work in the stage's own process, where what it loads is seen",
            "connect": "what comes from there is not a declared input: take it in as files (tc.Files)",
        }[first.verb]
        return f"{subject} {_in_words(first)}{_and_more(len(self.accesses) - 1 + self.more)}, which nothing handed to it: {advice}."


def _in_words(access: Access) -> str:
    return f"{_PAST[access.verb]} {access.target}{f' ({access.where})' if access.where else ''}"


def _and_more(number: int) -> str:
    return f" and {number} more" if number > 0 else ""


def _path_for_display(target: str, workspace: Path, base: Path) -> str:
    """Return a path relative to the workspace, the program's folder or (as `~`) the home folder; other paths and addresses unchanged."""
    shown = without_places(target, workspace, base)
    home = str(Path.home())
    return f"~{shown[len(home) :]}" if home != "/" and shown.startswith(f"{home}/") else shown
