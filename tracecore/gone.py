"""One file that was erased on purpose, as a tombstone of the record says it and the store takes it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Gone"]


@dataclass(frozen=True, slots=True)
class Gone:
    """One file that was erased, or rewritten without some of what it held.

    Attributes:
        path: POSIX path relative to the store's root.
        digest: of the bytes as they were recorded.
        size_bytes: of them.
        rows: of a table's data file, which its digest counts.
        left: digest of what lies there since; None where nothing does.
    """

    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    left: str | None = None

    @property
    def table(self) -> str:
        """The folder of the table of whose log the file is a commit."""
        return self.path.partition("/_delta_log/")[0]
