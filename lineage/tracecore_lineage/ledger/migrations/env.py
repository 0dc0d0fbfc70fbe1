"""Alembic environment, run with the connection given by `upgrade.py`."""

from __future__ import annotations

from alembic import context

from tracecore_lineage.ledger.migrations.upgrade import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata())
with context.begin_transaction():
    context.run_migrations()
