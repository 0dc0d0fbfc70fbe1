"""A reported perception bug, as a node of the lineage graph."""

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
        id: first 12 hex digits of the SHA-256 of its content, so an identical report gives the same bug.
        build: full ref of the build that showed it.
        frames: refs of the frames that show it, as reported.
        reporter: pseudonym.
        reported_at: eventTime of the report, RFC 3339 in UTC.
        run: id of the run that recorded it.
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
        """The bug's ref, `bug/<id>`."""
        return f"bug/{self.id}"
