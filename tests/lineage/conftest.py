"""Records for the tests: a module that says `DATABASES = BOTH` runs each of its tests that has a record on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import bundle_world
import pytest
from cosigners import ADA, BO, CY, policy
from postgres_server import PostgresServer
from sqlalchemy import make_url
from stored_world import StoredWorld
from tampering import move_rows

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.ledger.migrations.upgrade import metadata
from tracecore_lineage.trace.show import show

_TEMPLATE = "tracecore"
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each database that its module names, if it has a record."""
    databases = getattr(metafunc.module, "DATABASES", ())
    if databases and "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", databases, indirect=True)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real PostgreSQL, one for each process that runs tests."""
    try:
        server = PostgresServer()
        server.start()
    except Exception as error:  # noqa: BLE001  # whatever keeps PostgreSQL from starting here is the reason to skip
        pytest.skip(f"PostgreSQL can't be started here: {error}")
    with server:
        server.ask([f"CREATE DATABASE {_TEMPLATE}"])
        Database(server.url(_TEMPLATE), tmp_path_factory.mktemp("locks")).close()
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a PostgreSQL database with the tables of an empty record: the same one for every test, emptied after each."""
    yield postgres.url(_TEMPLATE)
    names = ", ".join(sorted(set(metadata().tables) - {"ledger_head"}))
    postgres.ask(
        [
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_TEMPLATE}' AND pid <> pg_backend_pid()",
            *(f"DELETE FROM {name}" for name in names.split(", ")),
            f"UPDATE ledger_head SET size = 0, root = '{_EMPTY}', frontier = '[]', checkpoint = '', ledger_id = '', slug = ''",
        ],
        _TEMPLATE,
    )


@pytest.fixture
def database_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Where records made in this test lie: None for SQLite in the workspace."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    monkeypatch.setenv("TRACECORE_CATALOG_URL", url)
    assert make_url(url).get_backend_name() == "postgresql"
    return url


@pytest.fixture
def world(database_url: str | None, tmp_path: Path) -> Iterator[RecordWorld]:
    """An empty record in a workspace of its own."""
    made = RecordWorld.at(tmp_path / "workspace")
    yield made
    made.record.close()


@pytest.fixture(scope="session")
def stored_and_sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with stored bytes and a sealed build, made once; tests work on copies, so that each of them also looks at a copied workspace."""
    world = StoredWorld.at(tmp_path_factory.mktemp("stored") / "workspace").all()
    world.seal()
    world.record.close()
    return world.record.workspace.root


@pytest.fixture
def copied(stored_and_sealed: Path, database_url: str | None, tmp_path: Path) -> Iterator[StoredWorld]:
    """A copy of it elsewhere, its record on the database that is asked for."""
    shutil.copytree(stored_and_sealed, tmp_path / "elsewhere")
    if database_url is not None:
        move_rows(tmp_path / "elsewhere" / "record.db", database_url)
    world = StoredWorld(Record.open(tmp_path / "elsewhere"))
    for asset, kind in (("drives", "dataset"), ("labels", "label_batch"), ("model", "model"), ("engine", "engine")):
        [world.made[asset]] = world.record.recorder.artifacts(kind, f"demo.{asset}")
        world.runs[asset] = world.record.query(show, world.made[asset].ref, workspace=world.record.workspace)["made_by"][0]["run"]
    [world.made["drive"]] = world.record.recorder.artifacts("drive_log", "north")
    yield world
    world.record.close()


@pytest.fixture(scope="session")
def to_be_cosigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a build that two of three keys have to sign, made once; none of them has."""
    world = RecordWorld.at(tmp_path_factory.mktemp("asked") / "workspace").all()
    assert policy(world.record, 2, ADA, BO, CY)
    world.seal()
    world.record.close()
    return world.record.workspace.root


@pytest.fixture
def asked(to_be_cosigned: Path, tmp_path: Path) -> Iterator[Record]:
    """The record of a copy of it."""
    shutil.copytree(to_be_cosigned, tmp_path / "workspace")
    with Record.open(tmp_path / "workspace") as record:
        yield record


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordWorld]:
    """The whole program with its sealed build, made once a module for the tests that only ask."""
    made = RecordWorld.at(tmp_path_factory.mktemp("sealed") / "workspace").all()
    made.seal()
    yield made
    made.record.close()


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredWorld]:
    """Where the build `demo` was sealed; no test changes it, but a forger has its keys."""
    found = bundle_world.sealed(tmp_path_factory.mktemp("vendor") / "w")
    yield found
    found.record.close()


@pytest.fixture(scope="module")
def bundle(vendor: StoredWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vendor's build as one file."""
    path = tmp_path_factory.mktemp("bundle") / "demo.bundle"
    export_bundle(vendor.record.recorder, "demo", path)
    return path


@pytest.fixture
def auditor(tmp_path: Path) -> Iterator[StoredWorld]:
    """Another workspace."""
    found = bundle_world.world(tmp_path / "auditor", "auditor")
    yield found
    found.record.close()


@pytest.fixture
def built(tmp_path: Path) -> Iterator[StoredWorld]:
    """A workspace with all bytes in its store and the build `demo`, to be changed."""
    world = StoredWorld.at(tmp_path / "ws").all()
    world.seal("demo")
    yield world
    world.record.close()
