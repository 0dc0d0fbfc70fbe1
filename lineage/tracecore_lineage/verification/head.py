"""The ledger's head, compared as the texts that stand in its row: another text for the same root is a changed row too."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from tracecore_lineage.checkpoint import Checkpoint, CheckpointError, parse
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.tables import HEAD
from tracecore_lineage.verification.findings import Findings
from tracecore_lineage.verification.history import History
from tracecore_lineage.verification.seals import check_note
from tracecore_lineage.verification.trust import Trust

__all__ = ["StoredHead", "check_head", "stored_head"]

_WHERE = "ledger/head"


@dataclass(frozen=True, slots=True)
class StoredHead:
    """What stands in the head's table, read without making sense of it: `ids` of all its rows, and the texts of the first."""

    ids: tuple[int, ...]
    size: int
    root: str
    frontier: str
    checkpoint: str
    name: LedgerName

    @property
    def note(self) -> Checkpoint | None:
        """The checkpoint, parsed; None where it is none."""
        try:
            return parse(self.checkpoint)
        except CheckpointError:
            return None


def stored_head(connection: Connection) -> StoredHead:
    """Read the head's row whatever was made of it; a head that is gone is an empty one."""
    rows = connection.execute(select(HEAD).order_by(HEAD.c.id)).all()
    ids = tuple(row.id for row in rows)
    if not rows:
        return StoredHead(ids, 0, "", "", "", LedgerName("", ""))
    row = rows[0]
    return StoredHead(ids, row.size, row.root, row.frontier, row.checkpoint, LedgerName(row.slug, row.ledger_id))


def check_head(head: StoredHead, history: History, own: LedgerName, trust: Trust, findings: Findings) -> None:
    """Compare the stored head with the ledger: a shorter ledger than its head says was truncated."""
    findings.equal(_WHERE, "rows of the head", "the row 1 alone", _rows(head.ids))
    findings.equal(_WHERE, "ledger", own, head.name)
    findings.equal("event/0", "the ledger that the first event begins", own, history.begun)
    findings.equal(_WHERE, "number of events", head.size, history.size)
    if findings.equal(_WHERE, "Merkle root", head.root, history.frontier.root().hex()):
        subtrees = json.dumps([subtree.hex() for subtree in history.frontier.hashes])
        if head.frontier != subtrees:
            findings.fail(_WHERE, "stored subtrees", "those of the recomputed tree", "others")
    check_note(_WHERE, head.checkpoint, history, own.origin, trust, findings, size=history.size)


def _rows(ids: tuple[int, ...]) -> str:
    return "the row 1 alone" if ids == (1,) else ", ".join(f"row {each}" for each in ids) or "none"
