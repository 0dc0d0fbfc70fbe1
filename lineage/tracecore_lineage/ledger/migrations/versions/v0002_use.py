"""Add the column `use` (`learn`, `select` or `measure`) to edges. Edges recorded earlier have none; their stage's kind implies it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A record that is made now got the column by the revision before, which makes the tables of the models.
    if "use" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("catalog_edge")}:
        text = sa.String(7) if op.get_bind().dialect.name == "postgresql" else sa.Text()  # SQLite's strict tables know no lengths
        op.add_column("catalog_edge", sa.Column("use", text, nullable=True))


def downgrade() -> None:
    op.drop_column("catalog_edge", "use")
