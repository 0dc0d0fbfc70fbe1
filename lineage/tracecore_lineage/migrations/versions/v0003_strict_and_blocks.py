"""Batches of events are kept as compressed blocks; on SQLite every table becomes STRICT, which means that it is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
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
    "ledger_event": _Table("seq i, event_id s64, recorded_at s27, leaf_hash s64, body y", ("seq",), {}, unique="event_id"),
    "ledger_head": _Table("id i, size i, root s64, frontier t, checkpoint t", ("id",), {}),
    "outbox_item": _Table("seq i, attempts i, delivered_at s27?, last_error t?", ("seq",), {}),
    "person": _Table("pseudonym s, salt s, name s", ("pseudonym",), {}, unique="name"),
}
_STRICT_TYPES: dict[str, sa.types.TypeEngine[Any]] = {"s": sa.Text(), "t": sa.Text(), "i": sa.Integer(), "b": sa.Integer(), "y": sa.LargeBinary()}
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {"s": sa.String(), "t": sa.Text(), "i": sa.Integer(), "b": sa.Boolean(), "y": sa.LargeBinary()}


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    text = sa.Text() if sqlite else None
    op.create_table(
        "ledger_block",
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("codec", text or sa.String(length=16), nullable=False),
        sa.Column("raw_size", sa.Integer(), nullable=False),
        sa.Column("digest", text or sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("first_seq"),
        sqlite_strict=True,
    )
    if not sqlite:
        op.alter_column("ledger_event", "body", existing_type=sa.LargeBinary(), nullable=True)
        op.add_column("ledger_event", sa.Column("block", sa.Integer(), nullable=True))
        return
    for name, table in _TABLES.items():
        blocks = "y?, block i?" if name == "ledger_event" else ""
        _make_again(name, table, table.columns.removesuffix("y") + blocks if blocks else table.columns, strict=True)


def downgrade() -> None:
    _unpack_blocks()
    if op.get_bind().dialect.name == "sqlite":
        for name, table in _TABLES.items():
            _make_again(name, table, table.columns, strict=False)
    else:
        op.drop_column("ledger_event", "block")
        op.alter_column("ledger_event", "body", existing_type=sa.LargeBinary(), nullable=False)
    op.drop_table("ledger_block")


def _make_again(name: str, table: _Table, columns: str, *, strict: bool) -> None:
    """Make a table of SQLite anew with its rows; what an edit left there as another type becomes the column's, so that `verify` can look at it."""
    made = f"new_{name}"
    unique = [] if table.unique is None else [sa.UniqueConstraint(table.unique)]
    op.create_table(
        made, *(_column(said, strict=strict) for said in columns.split(", ")), sa.PrimaryKeyConstraint(*table.key), *unique, sqlite_strict=strict
    )
    before = {said.split()[0]: said.split()[1] for said in table.columns.split(", ")}
    cast = {"s": "TEXT", "t": "TEXT", "i": "INTEGER", "b": "INTEGER", "y": "BLOB"}
    read = ", ".join(f'CAST("{column}" AS {cast[kind[0]]})' for column, kind in before.items())
    names = ", ".join(f'"{column}"' for column in before)
    op.execute(f"INSERT INTO {made} ({names}) SELECT {read} FROM {name}")  # noqa: S608  # every name stands above
    op.drop_table(name)
    op.rename_table(made, name)
    for index, indexed in sorted(table.indexes.items()):
        op.create_index(index, name, list(indexed), unique=False)


def _column(said: str, *, strict: bool) -> sa.Column[Any]:
    name, kind = said.split()
    length = kind.rstrip("?")[1:]
    type_ = sa.String(length=int(length)) if length and not strict else (_STRICT_TYPES if strict else _TYPES)[kind[0]]
    return sa.Column(name, type_, nullable=kind.endswith("?"))


def _unpack_blocks() -> None:
    """Put the bytes of every event back beside its place."""
    from tracecore.errors import UsageProblem
    from tracecore_lineage.blocks import DamagedBlock, unpack

    connection = op.get_bind()
    put = sa.text("UPDATE ledger_event SET body = :body, block = NULL WHERE seq = :seq AND block = :first")
    for (first,) in connection.execute(sa.text("SELECT first_seq FROM ledger_block ORDER BY first_seq")).all():
        row = connection.execute(sa.text("SELECT codec, data, raw_size, events FROM ledger_block WHERE first_seq = :first"), {"first": first}).one()
        try:
            bodies = unpack(row.codec, bytes(row.data), row.raw_size, row.events)
        except DamagedBlock as error:
            raise UsageProblem(
                f"The record can't be taken back to an older version: the block of events from position {first} on is damaged ({error})."
            ) from None
        connection.execute(put, [{"body": body, "seq": first + place, "first": first} for place, body in enumerate(bodies)])
