"""Runs Alembic: upgrade, downgrade, and comparison of models with tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, text

from tracecore.errors import UsageError
from tracecore_lineage.ledger import sql_tables

__all__ = ["differences", "downgrade", "metadata", "new_revision", "revisions", "upgrade"]

_FOLDER = Path(__file__).parent
_TABLES = (sql_tables.EVENTS, sql_tables.BLOCKS, sql_tables.HEAD, sql_tables.OUTBOX, sql_tables.PERSONS, *sql_tables.PROJECTION)


def metadata() -> MetaData:
    """Return SQLAlchemy metadata that contains only the record's own tables."""
    ours = MetaData()
    for declared in _TABLES:
        declared.to_metadata(ours)
    return ours


def revisions() -> list[str]:
    """Return the Alembic revisions of the database schema that this version of tracecore knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def upgrade(engine: Engine, found: str | None) -> None:
    """Upgrade a database's schema from revision `found` (None if new) to the newest. Raises UsageError if a newer tracecore wrote it."""
    known = revisions()
    if found is not None and found not in known:
        raise UsageError(
            f"The record was written by a newer tracecore: its tables are at revision {found!r}, this version knows {known[0]!r} and before. "
            "Upgrade tracecore to open it."
        )
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":  # several hosts may open a team's record at once, and lock files are local
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('tracecore.migrate'))"))
        command.upgrade(_config(connection), "head")


def downgrade(engine: Engine, revision: str) -> None:
    """Downgrade a database's schema to an Alembic revision; `base` drops all tables."""
    with engine.connect() as connection, connection.begin():
        command.downgrade(_config(connection), revision)


def new_revision(engine: Engine, message: str) -> None:
    """Write an Alembic revision file that changes a database's tables to those of the models; a developer reviews it."""
    number = f"{int(revisions()[0]) + 1:04}"
    with engine.connect() as connection, connection.begin():
        command.revision(_config(connection), message, autogenerate=True, rev_id=number)


def differences(connection: Connection) -> list[Any]:
    """Return the differences between the database's tables and the models, as Alembic reports them; empty if there are none."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata()))


def _config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the revisions in this folder, with a database connection if given."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
