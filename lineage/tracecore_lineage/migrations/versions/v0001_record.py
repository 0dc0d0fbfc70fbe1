"""All tables of the record: ledger and head, outbox, catalog, persons; and the head of the empty ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalog_build",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=True),
        sa.Column("content_digest", sa.String(length=71), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("event_time", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_catalog_build_name"), "catalog_build", ["name"], unique=False)
    op.create_index(op.f("ix_catalog_build_ref"), "catalog_build", ["ref"], unique=False)
    op.create_index(op.f("ix_catalog_build_seq"), "catalog_build", ["seq"], unique=False)
    op.create_table(
        "catalog_check",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("of_run", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("event_time", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_catalog_check_of_run"), "catalog_check", ["of_run"], unique=False)
    op.create_index(op.f("ix_catalog_check_seq"), "catalog_check", ["seq"], unique=False)
    op.create_index(op.f("ix_catalog_check_target"), "catalog_check", ["target"], unique=False)
    op.create_table(
        "catalog_edge",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=6), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("producer_run", sa.String(), nullable=True),
        sa.Column("event_type", sa.String(length=16), nullable=False),
        sa.Column("event_time", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "direction", "ordinal"),
    )
    op.create_index("ix_catalog_edge_name", "catalog_edge", ["kind", "name", "direction", "seq"], unique=False)
    op.create_index(op.f("ix_catalog_edge_ref"), "catalog_edge", ["ref"], unique=False)
    op.create_index(op.f("ix_catalog_edge_run_id"), "catalog_edge", ["run_id"], unique=False)
    op.create_index(op.f("ix_catalog_edge_seq"), "catalog_edge", ["seq"], unique=False)
    op.create_table(
        "catalog_facet",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("event_time", sa.String(length=27), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "subject", "name"),
    )
    op.create_index(op.f("ix_catalog_facet_seq"), "catalog_facet", ["seq"], unique=False)
    op.create_index(op.f("ix_catalog_facet_subject"), "catalog_facet", ["subject"], unique=False)
    op.create_table(
        "catalog_run_event",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(length=16), nullable=False),
        sa.Column("event_time", sa.String(length=27), nullable=False),
        sa.Column("job_namespace", sa.String(), nullable=False),
        sa.Column("job_name", sa.String(), nullable=False),
        sa.Column("parent_run_id", sa.String(), nullable=True),
        sa.Column("producer", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_catalog_run_event_job_name"), "catalog_run_event", ["job_name"], unique=False)
    op.create_index(op.f("ix_catalog_run_event_parent_run_id"), "catalog_run_event", ["parent_run_id"], unique=False)
    op.create_index(op.f("ix_catalog_run_event_run_id"), "catalog_run_event", ["run_id"], unique=False)
    op.create_index(op.f("ix_catalog_run_event_seq"), "catalog_run_event", ["seq"], unique=False)
    op.create_table(
        "catalog_staleness",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=71), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("event_time", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_catalog_staleness_key"), "catalog_staleness", ["key"], unique=False)
    op.create_index(op.f("ix_catalog_staleness_seq"), "catalog_staleness", ["seq"], unique=False)
    op.create_table(
        "ledger_event",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.String(length=27), nullable=False),
        sa.Column("leaf_hash", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("frontier", sa.Text(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "outbox_item",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delivered_at", sa.String(length=27), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "person",
        sa.Column("pseudonym", sa.String(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym"),
        sa.UniqueConstraint("name"),
    )
    head = sa.table("ledger_head", *(sa.column(name) for name in ("id", "size", "root", "frontier", "checkpoint")))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the root of no leaves: SHA-256 of nothing
    op.bulk_insert(head, [{"id": 1, "size": 0, "root": empty, "frontier": "[]", "checkpoint": ""}])


def downgrade() -> None:
    op.drop_table("person")
    op.drop_table("outbox_item")
    op.drop_table("ledger_head")
    op.drop_table("ledger_event")
    op.drop_index(op.f("ix_catalog_staleness_seq"), table_name="catalog_staleness")
    op.drop_index(op.f("ix_catalog_staleness_key"), table_name="catalog_staleness")
    op.drop_table("catalog_staleness")
    op.drop_index(op.f("ix_catalog_run_event_seq"), table_name="catalog_run_event")
    op.drop_index(op.f("ix_catalog_run_event_run_id"), table_name="catalog_run_event")
    op.drop_index(op.f("ix_catalog_run_event_parent_run_id"), table_name="catalog_run_event")
    op.drop_index(op.f("ix_catalog_run_event_job_name"), table_name="catalog_run_event")
    op.drop_table("catalog_run_event")
    op.drop_index(op.f("ix_catalog_facet_subject"), table_name="catalog_facet")
    op.drop_index(op.f("ix_catalog_facet_seq"), table_name="catalog_facet")
    op.drop_table("catalog_facet")
    op.drop_index(op.f("ix_catalog_edge_seq"), table_name="catalog_edge")
    op.drop_index(op.f("ix_catalog_edge_run_id"), table_name="catalog_edge")
    op.drop_index(op.f("ix_catalog_edge_ref"), table_name="catalog_edge")
    op.drop_index("ix_catalog_edge_name", table_name="catalog_edge")
    op.drop_table("catalog_edge")
    op.drop_index(op.f("ix_catalog_check_target"), table_name="catalog_check")
    op.drop_index(op.f("ix_catalog_check_seq"), table_name="catalog_check")
    op.drop_index(op.f("ix_catalog_check_of_run"), table_name="catalog_check")
    op.drop_table("catalog_check")
    op.drop_index(op.f("ix_catalog_build_seq"), table_name="catalog_build")
    op.drop_index(op.f("ix_catalog_build_ref"), table_name="catalog_build")
    op.drop_index(op.f("ix_catalog_build_name"), table_name="catalog_build")
    op.drop_table("catalog_build")
