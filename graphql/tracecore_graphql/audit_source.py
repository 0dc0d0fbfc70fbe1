"""What the server asks of the record: the questions of `tracecore_lineage.Record`, and nothing that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tracecore_schemas.bug import Bug
from tracecore_schemas.build import SealedBuild

__all__ = ["AuditSource"]


class AuditSource(Protocol):
    """The reading half of the record."""

    def trace(self, ref: str, *, depth: int | None = None, as_of: str | None = None) -> Mapping[str, Any]:
        """Return the backward trace of a ref."""

    def impact(self, ref: str, *, depth: int | None = None, as_of: str | None = None) -> Mapping[str, Any]:
        """Return everything that a ref reached."""

    def builds(self) -> Sequence[SealedBuild]:
        """Return every sealed build."""

    def build(self, name: str) -> SealedBuild | None:
        """Return one sealed build by its name."""

    def bug(self, identity: str) -> Bug | None:
        """Return one reported bug by its id."""

    def plugins(self) -> Sequence[Mapping[str, Any]]:
        """Return the plugins that recorded runs ran: entry_point, distribution, version, source_digest, stages, runs."""
