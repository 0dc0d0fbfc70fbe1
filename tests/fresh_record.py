"""The record of a new workspace, opened quickly: what the tables of a new database cost is paid once in each process, not by each test."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.api.binding import BEGINNING
from tracecore_lineage.ledger.database import Database

__all__ = ["BEGUN", "fresh_record"]

BEGUN = BEGINNING
"""Events of a new record: those that begin its ledger."""


def fresh_record(workspace: Workspace) -> Record:
    """Open the record of a new workspace. Its SQLite file is a copy of one that the product made; nothing in it names a workspace."""
    database = workspace.root / "record.db"
    if workspace.catalog_url == f"sqlite:///{database}" and not database.exists():
        database.write_bytes(_empty())
    return Record.open(workspace)


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "workspace", slug="empty")
        Database(workspace.catalog_url, workspace.locks).close()
        return (workspace.root / "record.db").read_bytes()
