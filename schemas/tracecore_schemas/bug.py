"""A perception bug, as it was reported: a node of the record like the build and the frames it is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Bug", "BugSeverity"]


class BugSeverity(StrEnum):
    """How bad a bug is, as its reporter judges it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Bug:
    """A reported bug.

    Attributes:
        id: 12 hex digits of its content's SHA-256: the same report is the same bug, whoever repeats it and when.
        text: what was seen, in the reporter's words.
        build: whole ref of the build that it was seen in; None where nobody said.
        frames: refs of the frames that show it, `frame/<drive>/<sensor>/<timestamp_ns>`, as they were given.
        severity: as its reporter judges it; None where they didn't.
        reporter: pseudonym of who reported it; None where nobody said.
        reported_at: eventTime of the report, RFC 3339 in UTC.
        run: the run that recorded it.
    """

    id: str
    text: str
    build: str | None
    frames: tuple[str, ...]
    severity: BugSeverity | None
    reporter: str | None
    reported_at: str
    run: str

    @property
    def ref(self) -> str:
        """`bug/<id>`."""
        return f"bug/{self.id}"
