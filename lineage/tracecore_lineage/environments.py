"""Which run recorded an environment: one for each workspace and digest, so that it is found again."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import Connection, select

from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.prefix import chunks
from tracecore_lineage.tables import RUN_EVENTS
from tracecore_schemas.canonical import jcs

__all__ = ["environment_run", "environment_runs"]

_ENVIRONMENTS = uuid.UUID("6f0b8f0e-6a1f-5d0e-9a59-4d2d6c0f5a11")
"""UUID namespace of the runs that record environments."""


def environment_run(ledger: LedgerName, digest: str) -> str:
    """Give the id of the run by which a workspace records an environment.

    Two workspaces that run in the same environment record it by runs of different ids: a run is of one workspace, also where the build of one is
    imported into the other.
    """
    return str(uuid.uuid5(_ENVIRONMENTS, jcs([ledger.ledger_id, digest]).decode()))


def environment_runs(connection: Connection, digest: str, runs: Collection[str]) -> list[str]:
    """Give the ids of the runs that recorded an environment for the workspaces of some runs.

    Args:
        connection: to the record's database.
        digest: of the environment.
        runs: that ran in it, of whatever workspaces.

    Returns:
        Ids, of which some may not be recorded.
    """
    ledgers: set[LedgerName] = set()
    for chunk in chunks(sorted(runs)):
        sent = select(RUN_EVENTS.c.job_namespace, RUN_EVENTS.c.producer).where(RUN_EVENTS.c.run_id.in_(chunk)).distinct()
        ledgers.update(LedgerName.speaking(row.job_namespace, row.producer) for row in connection.execute(sent))
    return sorted({environment_run(ledger, digest) for ledger in ledgers})
