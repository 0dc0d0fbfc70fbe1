"""SQLModel tables of the ledger, the outbox and the catalog.

Every catalog row is a pure function of one event (`tracecore_lineage.catalog.projection`): the same events in any order, with any duplicates, give
the same rows (except `seq`, the event's ledger position). Conflicts between events are resolved by (eventTime, event digest) when a query runs,
within the prefix of the ledger that it asks about.

Times are RFC 3339 texts in UTC with six decimals (`2026-11-22T15:39:45.000000Z`), so that text order is time order. On SQLite the tables are STRICT,
so that a value of the wrong type is refused.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Dialect, Index, Integer, LargeBinary, String
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import AutoString, Column, Field, SQLModel, Text

__all__ = [
    "CATALOG_TABLES",
    "BuildRow",
    "CheckRow",
    "ClaimRow",
    "EdgeRow",
    "FacetRow",
    "LedgerBlock",
    "LedgerEvent",
    "LedgerHead",
    "OutboxItem",
    "Person",
    "RunEventRow",
    "StalenessRow",
]


_SPEAKER = "id of the ledger that the event is believed to speak for; empty for another producer's"


class LedgerEvent(SQLModel, table=True):
    """One leaf of the ledger: the exact bytes of one event.

    `event_id` is the SHA-256 hex of the event's bytes; `leaf_hash` of 0x00 and the JCS of `{v, recorded_at, event_sha256}` (RFC 6962). The bytes
    are in `body` or, for a batch, in a block; the other one is null.
    """

    __tablename__ = "ledger_event"

    seq: int = Field(primary_key=True, description="leaf index, from 0 without holes")
    event_id: str = Field(unique=True, max_length=64)
    recorded_at: str = Field(max_length=27)
    leaf_hash: str = Field(max_length=64)
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    block: int | None = Field(default=None, description="first position of the block that holds the bytes")


class LedgerBlock(SQLModel, table=True):
    """The bytes of several events that were appended at once, in one compressed piece (`tracecore_lineage.ledger.blocks`)."""

    __tablename__ = "ledger_block"

    first_seq: int = Field(primary_key=True, description="position of its first event")
    events: int = Field(description="how many, at positions without holes")
    codec: str = Field(max_length=16)
    raw_size: int = Field(description="bytes of its content, lengths included")
    digest: str = Field(max_length=64, description="SHA-256 hex of `data`")
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LedgerHead(SQLModel, table=True):
    """The one row with the ledger's size and root; writers serialize on it."""

    __tablename__ = "ledger_head"

    id: int = Field(primary_key=True, description="always 1")
    size: int
    root: str = Field(max_length=64)
    frontier: str = Field(sa_column=Column(Text, nullable=False), description="JSON list of the complete subtree hashes, largest first")
    checkpoint: str = Field(sa_column=Column(Text, nullable=False), description="signed note over size and root")
    ledger_id: str = Field(max_length=32, description="of the ledger, for ever; empty before its first event")
    slug: str = Field(description="of the workspace that it was begun for; empty before its first event")


class OutboxItem(SQLModel, table=True):
    """An event on its way to another lineage backend; the relay delivers at least once."""

    __tablename__ = "outbox_item"

    seq: int = Field(primary_key=True)
    attempts: int = 0
    delivered_at: str | None = Field(default=None, max_length=27)
    last_error: str | None = Field(default=None, sa_column=Column(Text))


class RunEventRow(SQLModel, table=True):
    """One RunEvent: what the state of a run is resolved from."""

    __tablename__ = "catalog_run_event"

    event_id: str = Field(primary_key=True, max_length=64)
    seq: int = Field(index=True)
    speaker: str = Field(max_length=32, description=_SPEAKER)
    run_id: str = Field(index=True)
    event_type: str = Field(max_length=16)
    event_time: str = Field(max_length=27)
    job_namespace: str
    job_name: str = Field(index=True)
    parent_run_id: str | None = Field(default=None, index=True)
    producer: str


class EdgeRow(SQLModel, table=True):
    """One version that a run read or wrote, as one event says."""

    __tablename__ = "catalog_edge"
    __table_args__ = (Index("ix_catalog_edge_name", "kind", "name", "direction", "seq"),)

    event_id: str = Field(primary_key=True, max_length=64)
    direction: str = Field(primary_key=True, max_length=6)
    ordinal: int = Field(primary_key=True, description="place in the event's inputs or outputs")
    seq: int = Field(index=True)
    speaker: str = Field(max_length=32, description=_SPEAKER)
    run_id: str = Field(index=True)
    ref: str = Field(index=True, description="whole ref")
    kind: str = Field(max_length=32)
    name: str
    digest: str | None = Field(default=None, max_length=71)
    role: str
    producer_run: str | None = Field(default=None, description="the run the reader took it from")
    use: str | None = Field(default=None, max_length=7, description="what the reader did with it: `learn`, `select` or `measure`")
    change: str = Field(default="", description="the dataset's `lifecycleStateChange`; empty where there is none")
    event_type: str = Field(max_length=16)
    event_time: str = Field(max_length=27)


class NameRow(SQLModel, table=True):
    """A further name of another producer's dataset, as one event says: one that `symlinks` joins to it, or the one it had before a RENAME."""

    __tablename__ = "catalog_name"

    event_id: str = Field(primary_key=True, max_length=64)
    ordinal: int = Field(primary_key=True, description="place among the names that the event gives")
    seq: int = Field(index=True)
    name: str = Field(index=True, description="ref without version")
    what: str = Field(max_length=16, description="`ALIAS` or `RENAME`; `GONE` where `symlinks` are stated to be deleted")
    other: str = Field(index=True, description="ref without version; an artifact's where the event calls the dataset by a name of a workspace's")
    event_time: str = Field(max_length=27)


class FacetRow(SQLModel, table=True):
    """One facet that one event asserts of a subject: `run:<uuid>`, `job:<namespace>/<name>` or an artifact's whole ref."""

    __tablename__ = "catalog_facet"
    __table_args__ = (Index("ix_catalog_facet_name", "name"),)  # which label batches there are, which runs a plugin ran: asked by name

    event_id: str = Field(primary_key=True, max_length=64)
    subject: str = Field(primary_key=True, index=True)
    name: str = Field(primary_key=True)
    seq: int = Field(index=True)
    speaker: str = Field(max_length=32, description=_SPEAKER)
    event_time: str = Field(max_length=27)
    value: str = Field(sa_column=Column(Text, nullable=False), description="canonical JSON")


class ClaimRow(SQLModel, table=True):
    """A statement of one event about a version or name that its producer has no authority over; it changes no version, name or description."""

    __tablename__ = "catalog_claim"

    event_id: str = Field(primary_key=True, max_length=64)
    ordinal: int = Field(primary_key=True, description="place among the claims of the event")
    seq: int = Field(index=True)
    speaker: str = Field(max_length=32, description=_SPEAKER)
    subject: str = Field(index=True, description="`kind/name`, of whichever version")
    version: str = Field(max_length=64, description="hex of the digest; empty where none is named")
    run_id: str | None = Field(default=None, index=True, description="none for an event of no run")
    job: str = Field(description="`namespace/name`; empty for an event of no job")
    says: str = Field(sa_column=Column(Text, nullable=False))
    event_time: str = Field(max_length=27)


class CheckRow(SQLModel, table=True):
    """The outcome of one check, as its COMPLETE says."""

    __tablename__ = "catalog_check"

    event_id: str = Field(primary_key=True, max_length=64)
    seq: int = Field(index=True)
    speaker: str = Field(max_length=32, description=_SPEAKER)
    run_id: str
    of_run: str = Field(index=True)
    target: str = Field(index=True, description="whole ref of the output that is rejected if it fails")
    name: str
    success: bool
    severity: str = Field(max_length=16)
    message: str = Field(sa_column=Column(Text, nullable=False))
    event_time: str = Field(max_length=27)


class StalenessRow(SQLModel, table=True):
    """The staleness key of a completed run: the record, not Dagster, decides what is made again."""

    __tablename__ = "catalog_staleness"

    event_id: str = Field(primary_key=True, max_length=64)
    seq: int = Field(index=True)
    key: str = Field(index=True, max_length=71)
    run_id: str
    event_time: str = Field(max_length=27)


class BuildRow(SQLModel, table=True):
    """A sealed build, as its release run's COMPLETE says."""

    __tablename__ = "catalog_build"

    event_id: str = Field(primary_key=True, max_length=64)
    seq: int = Field(index=True)
    name: str = Field(index=True)
    ref: str = Field(index=True)
    run_id: str
    program: str
    approver: str | None = None
    content_digest: str = Field(max_length=71)
    position: int = Field(description="tree size before the COMPLETE; only that event joins the prefix")
    envelope: str = Field(sa_column=Column(Text, nullable=False), description="the DSSE envelope, JSON")
    event_time: str = Field(max_length=27)


class Person(SQLModel, table=True):
    """The person behind a pseudonym. Rows can be deleted; the ledger holds only pseudonyms, each a commitment to salt and name."""

    __tablename__ = "person"

    pseudonym: str = Field(primary_key=True)
    salt: str
    name: str = Field(unique=True)


CATALOG_TABLES: tuple[type[SQLModel], ...] = (RunEventRow, EdgeRow, NameRow, FacetRow, ClaimRow, CheckRow, StalenessRow, BuildRow)
"""The catalog's tables, which `tracecore replay` drops and rebuilds."""


class _Truth(TypeDecorator[bool]):
    """A boolean column that a STRICT SQLite table accepts; a value other than 0 and 1 is returned as it is, so that verification reports it."""

    impl = Boolean
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else Boolean())

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002  # SQLAlchemy's signature
        return bool(value) if value in (0, 1) else value


def _make_strict(model: type[SQLModel]) -> None:
    """Make a model's SQL table STRICT on SQLite, with the column types that this needs there: integer for booleans (`_Truth`), TEXT for texts."""
    made = SQLModel.metadata.tables[str(model.__tablename__)]
    made.dialect_options["sqlite"]["strict"] = True
    for column in made.columns:
        if isinstance(column.type, Boolean):
            column.type = _Truth()
        elif isinstance(column.type, AutoString):
            column.type = String(getattr(column.type.impl_instance, "length", None)).with_variant(Text(), "sqlite")


_MODELS: tuple[type[SQLModel], ...] = (LedgerEvent, LedgerBlock, LedgerHead, OutboxItem, Person, *CATALOG_TABLES)
for _model in _MODELS:
    _make_strict(_model)
