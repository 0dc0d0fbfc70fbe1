"""The name of a ledger, its workspace's slug and its id, from which producer and checkpoint origin are derived."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracecore.workspace import Workspace

__all__ = ["LedgerName"]

_PRODUCER = "urn:tracecore:ledger:"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class LedgerName:
    """The name of a ledger: its OpenLineage namespace, which is not unique, and its random id (32 hex digits; empty for other producers)."""

    slug: str
    ledger_id: str

    @classmethod
    def of(cls, workspace: Workspace) -> LedgerName:
        """Return the name of a workspace's ledger."""
        return cls(workspace.slug, workspace.ledger_id)

    @classmethod
    def of_producer(cls, namespace: str, producer: str) -> LedgerName:
        """Return the ledger name with slug `namespace` and the id in an event's `producer` URI; the id is empty for another program's URI."""
        named = producer.removeprefix(_PRODUCER) if producer.startswith(_PRODUCER) else ""
        return cls(namespace, named if _ID.fullmatch(named) else "")

    @property
    def producer(self) -> str:
        """The `producer` URI of every event recorded in this ledger."""
        return f"{_PRODUCER}{self.ledger_id}"

    @property
    def origin(self) -> str:
        """The origin line of this ledger's signed checkpoints, `tracecore/<slug>/<id>`, which is also the signer name of the ledger's keys."""
        return f"tracecore/{self.slug}/{self.ledger_id}"

    def __str__(self) -> str:
        return f"{self.ledger_id} ('{self.slug}')"
