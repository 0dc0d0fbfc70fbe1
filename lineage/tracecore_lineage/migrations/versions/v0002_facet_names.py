"""Facets are found by their name: which label batches name a labeler, which runs ran a plugin."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_catalog_facet_name", "catalog_facet", ["name"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_catalog_facet_name", table_name="catalog_facet")
