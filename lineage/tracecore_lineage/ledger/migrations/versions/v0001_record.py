"""All tables of the record: ledger with its blocks and head, outbox, catalog, persons; and the head of the empty ledger.

The models are the one description of the tables. A later revision, which has to lead here from a released version, spells its change out.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import insert

from tracecore_lineage.ledger.migrations.upgrade import metadata
from tracecore_lineage.ledger.sql_tables import EMPTY_HEAD, HEAD

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata().create_all(op.get_bind())
    op.get_bind().execute(insert(HEAD).values(**EMPTY_HEAD))


def downgrade() -> None:
    metadata().drop_all(op.get_bind())
