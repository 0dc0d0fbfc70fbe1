"""All tables of the record: ledger and head, outbox, catalog, persons; and the head of the empty ledger. On SQLite every table is STRICT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


class _Table(NamedTuple):
    """A table as it stood when this revision was written: `name type` a column, `?` behind a type that may be null."""

    columns: str
    key: tuple[str, ...]
    indexes: Mapping[str, tuple[str, ...]]
    unique: str | None = None


def _by(table: str, *columns: str) -> dict[str, tuple[str, ...]]:
    return {f"ix_{table}_{column}": (column,) for column in columns}


_TABLES = {
    "catalog_build": _Table(
        "event_id s64, seq i, name s, ref s, run_id s, program s, approver s?, content_digest s71, position i, envelope t, event_time s27",
        ("event_id",),
        _by("catalog_build", "name", "ref", "seq"),
    ),
    "catalog_check": _Table(
        "event_id s64, seq i, run_id s, of_run s, target s, name s, success b, severity s16, message t, event_time s27",
        ("event_id",),
        _by("catalog_check", "of_run", "seq", "target"),
    ),
    "catalog_edge": _Table(
        "event_id s64, direction s6, ordinal i, seq i, run_id s, ref s, kind s32, name s, digest s71?, role s, producer_run s?, event_type s16, "
        "event_time s27",
        ("event_id", "direction", "ordinal"),
        {**_by("catalog_edge", "ref", "run_id", "seq"), "ix_catalog_edge_name": ("kind", "name", "direction", "seq")},
    ),
    "catalog_facet": _Table(
        "event_id s64, subject s, name s, seq i, event_time s27, value t",
        ("event_id", "subject", "name"),
        _by("catalog_facet", "name", "seq", "subject"),
    ),
    "catalog_run_event": _Table(
        "event_id s64, seq i, run_id s, event_type s16, event_time s27, job_namespace s, job_name s, parent_run_id s?, producer s",
        ("event_id",),
        _by("catalog_run_event", "job_name", "parent_run_id", "run_id", "seq"),
    ),
    "catalog_staleness": _Table(
        "event_id s64, seq i, key s71, run_id s, event_time s27", ("event_id",), _by("catalog_staleness", "key", "seq")
    ),
    "ledger_event": _Table("seq i, event_id s64, recorded_at s27, leaf_hash s64, body y?, block i?", ("seq",), {}, unique="event_id"),
    "ledger_block": _Table("first_seq i, events i, codec s16, raw_size i, digest s64, data y", ("first_seq",), {}),
    "ledger_head": _Table("id i, ledger_id s32, size i, root s64, frontier t, checkpoint t", ("id",), {}),
    "outbox_item": _Table("seq i, attempts i, delivered_at s27?, last_error t?", ("seq",), {}),
    "person": _Table("pseudonym s, salt s, name s", ("pseudonym",), {}, unique="name"),
}
_STRICT_TYPES: dict[str, sa.types.TypeEngine[Any]] = {"s": sa.Text(), "t": sa.Text(), "i": sa.Integer(), "b": sa.Integer(), "y": sa.LargeBinary()}
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {"s": sa.String(), "t": sa.Text(), "i": sa.Integer(), "b": sa.Boolean(), "y": sa.LargeBinary()}


def upgrade() -> None:
    strict = op.get_bind().dialect.name == "sqlite"
    for name, table in _TABLES.items():
        unique = [] if table.unique is None else [sa.UniqueConstraint(table.unique)]
        columns = [_column(said, strict=strict) for said in table.columns.split(", ")]
        op.create_table(name, *columns, sa.PrimaryKeyConstraint(*table.key), *unique, sqlite_strict=True)
        for index, indexed in sorted(table.indexes.items()):
            op.create_index(index, name, list(indexed), unique=False)
    head = sa.table("ledger_head", *(sa.column(name) for name in ("id", "ledger_id", "size", "root", "frontier", "checkpoint")))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the root of no leaves: SHA-256 of nothing
    op.bulk_insert(head, [{"id": 1, "ledger_id": "", "size": 0, "root": empty, "frontier": "[]", "checkpoint": ""}])


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _column(said: str, *, strict: bool) -> sa.Column[Any]:
    name, kind = said.split()
    length = kind.rstrip("?")[1:]
    type_ = sa.String(length=int(length)) if length and not strict else (_STRICT_TYPES if strict else _TYPES)[kind[0]]
    return sa.Column(name, type_, nullable=kind.endswith("?"))
