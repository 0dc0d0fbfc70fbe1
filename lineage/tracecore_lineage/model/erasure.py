"""Erasures, promised or done: what goes of which version, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracecore.store.protocol import ErasedFile

__all__ = ["JOBS", "PREDICATE", "PRUNE", "WITHDRAWAL", "Erased", "Erasure"]

PREDICATE = "urn:tracecore:tombstone:1"
WITHDRAWAL, PRUNE = "consent_withdraw", "prune"
JOBS = frozenset({f"tracecore.{WITHDRAWAL}", f"tracecore.{PRUNE}"})


@dataclass(frozen=True, slots=True)
class Erased:
    """What went of one version at one place.

    Attributes:
        ref: whole.
        location: of the version, relative to the store's root.
        version: of a Delta table; None for files and directories.
        files: what went, file by file.
    """

    ref: str
    location: str
    version: int | None
    files: tuple[ErasedFile, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of its files as they were recorded."""
        return sum(gone.size_bytes for gone in self.files)

    @property
    def rows(self) -> int:
        """Rows of its data files."""
        return sum(gone.rows or 0 for gone in self.files)

    def document(self) -> dict[str, Any]:
        """Return it as the statement has it."""
        return {
            "ref": self.ref,
            "location": self.location,
            "version": self.version,
            "files": [
                {"path": gone.path, "digest": gone.digest, "size_bytes": gone.size_bytes, "rows": gone.rows, "left": gone.left} for gone in self.files
            ],
        }


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure, promised or done.

    Attributes:
        run: its id.
        what: `consent_withdraw` or `prune`.
        reason: as it was given.
        at: eventTime of its START.
        seq: position of its START in the ledger.
        done: whether it came to its end.
        drives: names of the withdrawn drives.
        withdrawn: digests of files that may not come back.
        people: pseudonyms that can no longer be resolved.
        builds: refs of the builds that the data reached.
        versions: what went.
        commits: files of Delta logs that were rewritten without statistics of what went: every later version needs them.
        envelope: the signed statement; None while it is only promised.
    """

    run: str
    what: str
    reason: str
    at: str
    seq: int = -1
    done: bool = False
    drives: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    versions: tuple[Erased, ...] = ()
    commits: tuple[ErasedFile, ...] = ()
    envelope: Mapping[str, Any] | None = None

    @property
    def why(self) -> str:
        """Why, in a few words: `consent withdrawn: <reason>`."""
        return f"consent withdrawn: {self.reason}" if self.what == WITHDRAWAL else f"pruned: {self.reason}"

    @property
    def day(self) -> str:
        """The date."""
        return self.at.partition("T")[0]

    def document(self) -> dict[str, Any]:
        """Return it as the statement's predicate has it, without the key."""
        return {
            "type": PREDICATE,
            "what": self.what,
            "reason": self.reason,
            "at": self.at,
            "run": self.run,
            "drives": list(self.drives),
            "withdrawn": list(self.withdrawn),
            "people": list(self.people),
            "builds": list(self.builds),
            "versions": [version.document() for version in self.versions],
            "commits": [{"path": gone.path, "digest": gone.digest, "size_bytes": gone.size_bytes, "left": gone.left} for gone in self.commits],
        }
