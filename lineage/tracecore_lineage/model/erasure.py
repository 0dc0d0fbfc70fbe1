"""Erasures, planned or done: what is erased of which version, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tracecore.store.protocol import ErasedFile

__all__ = ["JOBS", "PREDICATE", "PRUNE", "WITHDRAWAL", "Erased", "Erasure"]

PREDICATE = "urn:tracecore:tombstone:1"
WITHDRAWAL, PRUNE = "consent_withdraw", "prune"
JOBS = frozenset({f"tracecore.{WITHDRAWAL}", f"tracecore.{PRUNE}"})


@dataclass(frozen=True, slots=True)
class Erased:
    """The erased files of one version at one store location; `version` is the Delta version, None for files and directories."""

    ref: str
    location: str
    version: int | None
    files: tuple[ErasedFile, ...]

    @property
    def size_bytes(self) -> int:
        """Total size in bytes, as recorded, of the files erased or rewritten in this version."""
        return sum(file.size_bytes for file in self.files)

    @property
    def rows(self) -> int:
        """Total rows, as recorded, of the data files erased or rewritten in this version; other files add nothing."""
        return sum(file.rows or 0 for file in self.files)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure, planned or done.

    Attributes:
        run: id of its run.
        what: `consent_withdraw` or `prune`.
        at: eventTime of its START, and `seq` its ledger position.
        withdrawn: digests of files that must not be ingested again.
        people: pseudonyms that can no longer be resolved.
        builds: refs of builds made from the data.
        commits: Delta log files rewritten without statistics of the erased rows, since every later version needs them.
        envelope: the signed statement; None while only planned.
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
        """Kind and reason of the erasure as text: `consent withdrawn: <reason>` or `pruned: <reason>`."""
        return f"consent withdrawn: {self.reason}" if self.what == WITHDRAWAL else f"pruned: {self.reason}"

    @property
    def day(self) -> str:
        """Date of the erasure, YYYY-MM-DD: the day part of the eventTime at which its run started."""
        return self.at.partition("T")[0]

    def document(self) -> dict[str, Any]:
        """Return this erasure as the predicate of the signed tombstone statement (docs/formats/tombstone.md), without the signing key's id."""
        members = asdict(self)
        for member in ("seq", "done", "envelope"):
            del members[member]
        for commit in members["commits"]:
            del commit["rows"]
        return {"type": PREDICATE, **members}
