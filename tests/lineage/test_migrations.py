"""Migrations and models agree, lead up and down, and a newer database is not touched.

Modules: `ledger/migrations/env.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_lineage.ledger import migrations
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.ledger.migrations.upgrade import differences, downgrade, metadata, revisions, upgrade

DATABASES = ("sqlite", "postgresql")


@pytest.fixture
def database(database_url: str | None, tmp_path: Path) -> Iterator[Database]:
    workspace = Workspace.create(tmp_path / "workspace")
    made = Database(workspace.catalog_url, workspace.locks)
    yield made
    if made.version() != migrations.HEAD:
        with made.engine.connect() as connection, connection.begin():
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{migrations.HEAD}'"))
    made.close()


def test_the_tables_made_by_migrations_are_those_of_the_models(database: Database) -> None:
    with database.read() as connection:
        assert differences(connection) == []
    assert set(metadata().tables) == set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_the_head_that_opening_compares_with_is_the_newest_revision(database: Database) -> None:
    assert revisions()[0] == migrations.HEAD == database.version()


def test_a_new_ledger_is_empty_and_has_a_head(database: Database) -> None:
    with database.read() as connection:
        row = connection.execute(text("SELECT id, size, ledger_id, root FROM ledger_head")).one()
    assert row == (1, 0, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def test_migrations_lead_down_and_up_again(database: Database) -> None:
    downgrade(database.engine, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    upgrade(database.engine, database.version())
    with database.read() as connection:
        assert differences(connection) == []


def test_a_record_of_a_newer_tracecore_is_refused_and_left_alone(tmp_path: Path, database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    workspace = Workspace.open(tmp_path / "workspace")
    with pytest.raises(UsageError, match="written by a newer tracecore: its tables are at revision '9999'"):
        Database(workspace.catalog_url, workspace.locks)


def test_a_record_that_is_refused_leaves_no_connection_open(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engines: list[Engine] = []
    dialect = type(database.dialect)
    monkeypatch.setattr(dialect, "engine", lambda self, real=dialect.engine: engines.append(real(self)) or engines[-1])
    workspace = Workspace.open(tmp_path / "workspace")
    with pytest.raises(UsageError, match="written by a newer tracecore"):
        Database(workspace.catalog_url, workspace.locks)
    [refused] = engines
    assert refused.pool.checkedin() == refused.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool's


def test_every_table_of_sqlite_is_strict(database: Database) -> None:
    if database.dialect.shared:
        pytest.skip("PostgreSQL's types have always been strict")
    with database.read() as connection:
        made = connection.execute(text("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")).all()
    assert {name for name, strict in made if not strict} == {"alembic_version"}
    assert len(made) == len(metadata().tables) + 1
