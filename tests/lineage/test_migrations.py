"""Migrations and models agree, lead up and down, and a newer database is not touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from tracecore.errors import UsageProblem
from tracecore.workspace import Workspace
from tracecore_lineage import migrations
from tracecore_lineage.database import Database
from tracecore_lineage.migrations.upgrade import differences, downgrade, metadata, revisions, upgrade


@pytest.fixture
def database(tmp_path: Path) -> Database:
    workspace = Workspace.create(tmp_path / "workspace")
    return Database(workspace.catalog_url, workspace.locks)


def test_the_tables_made_by_migrations_are_those_of_the_models(database: Database) -> None:
    with database.read() as connection:
        assert differences(connection) == []
    assert set(metadata().tables) == set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_the_head_that_opening_compares_with_is_the_newest_revision(database: Database) -> None:
    assert revisions()[0] == migrations.HEAD == database.version()


def test_a_new_ledger_is_empty_and_has_a_head(database: Database) -> None:
    with database.read() as connection:
        row = connection.execute(text("SELECT id, size, root FROM ledger_head")).one()
    assert row == (1, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


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
    with pytest.raises(UsageProblem, match="written by a newer tracecore: its tables are at revision '9999'"):
        Database(workspace.catalog_url, workspace.locks)
