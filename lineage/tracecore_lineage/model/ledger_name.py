"""The name of a ledger: its workspace's slug and the ledger's id. Everything that must say which ledger is meant derives it here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracecore.workspace import Workspace

__all__ = ["LedgerName"]

_PRODUCER = "urn:tracecore:ledger:"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class LedgerName:
    """A ledger by name.

    Attributes:
        slug: OpenLineage namespace of the workspace's jobs and datasets. Two workspaces may have the same.
        ledger_id: 32 hex, random, given by `init`; empty for an event of a producer that is not a workspace.
    """

    slug: str
    ledger_id: str

    @classmethod
    def of(cls, workspace: Workspace) -> LedgerName:
        """Return the name of a workspace's ledger."""
        return cls(workspace.slug, workspace.ledger_id)

    @classmethod
    def speaking(cls, namespace: str, producer: str) -> LedgerName:
        """Return the ledger that an event says it is of.

        Args:
            namespace: of the event's job.
            producer: the event's own `producer`.
        """
        named = producer.removeprefix(_PRODUCER) if producer.startswith(_PRODUCER) else ""
        return cls(namespace, named if _ID.fullmatch(named) else "")

    @property
    def producer(self) -> str:
        """The `producer` of every event that this ledger's recorder writes."""
        return f"{_PRODUCER}{self.ledger_id}"

    @property
    def origin(self) -> str:
        """The origin line of its checkpoints, which is also the name that its keys sign under."""
        return f"tracecore/{self.slug}/{self.ledger_id}"

    def __str__(self) -> str:
        return f"{self.ledger_id} ('{self.slug}')"
