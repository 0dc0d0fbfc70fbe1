"""Alembic's entry: it runs in the connection that `upgrade.py` hands it."""

from __future__ import annotations

from alembic import context

from tracecore_lineage.ledger.migrations.upgrade import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata())
with context.begin_transaction():
    context.run_migrations()
