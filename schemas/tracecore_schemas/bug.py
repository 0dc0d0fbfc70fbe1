"""A reported perception bug: a node of the record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Bug", "BugSeverity"]


class BugSeverity(StrEnum):
    """Severity of a bug, in the reporter's judgment."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Bug:
    """A reported bug.

    Attributes:
        id: 12 hex digits of its content's SHA-256: repeating a report gives the same bug.
        text: the reporter's words.
        build: whole ref of the build that it was seen in.
        frames: refs of the frames that show it, as given.
        reporter: pseudonym.
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
