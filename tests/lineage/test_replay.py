"""The catalog is what the ledger says: made again it is the same, changed it is named, and no order or duplicate of events matters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fresh_record import BEGUN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openlineage_data import airflow_events, marquez_events
from sqlalchemy import create_engine, delete, event, select, text
from sqlmodel import SQLModel

from tracecore.errors import NegativeVerdict
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.catalog import replay
from tracecore_lineage.catalog.projection import project
from tracecore_lineage.catalog.replay import Difference, catalog_differences, rebuild_catalog
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import PROJECTION
from tracecore_lineage.model.ledger_name import LedgerName

DATABASES = ("sqlite", "postgresql")
SYMLINKS = {"_producer": "urn:etl", "_schemaURL": "urn:s", "identifiers": [{"namespace": "s3", "name": "t", "type": "TABLE"}]}
NAMED_TWICE = {
    "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:s",
    "dataset": {"namespace": "lake", "name": "t", "facets": {"symlinks": SYMLINKS}},
}  # fmt: skip
MINIMAL: dict[str, Any] = {
    "eventTime": "2026-01-01T00:00:00Z", "eventType": "COMPLETE", "producer": "urn:other", "schemaURL": "urn:other",
    "run": {"runId": "01a2040f-0000-711d-8e71-4ae6d5de555d"}, "job": {"namespace": "other", "name": "evil"},
}  # fmt: skip


def rows_of(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Every catalog row apart from `seq`."""
    return {
        table.name: sorted((tuple(row) for row in connection.execute(select(*(column for column in table.c if column.name != "seq")))), key=repr)
        for table in PROJECTION
    }


def of_events(rows: dict[str, list[tuple[Any, ...]]], events: set[str]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: [row for row in found if events & set(map(str, row))] for name, found in rows.items()}


def change(world: RecordWorld, statement: str, **values: Any) -> list[Difference]:
    with world.record.database.write() as connection:
        assert connection.execute(text(statement), values).rowcount > 0
    return world.record.query(catalog_differences, world.record.ledger)


def test_a_recorded_world_agrees_with_its_ledger_and_is_the_same_when_made_again(world: RecordWorld) -> None:
    world.all()
    world.seal()
    again = world.start("model", key="sha256:" + "a" * 64)
    world.record.recorder.complete(again, [], {"model": world.made["model"]})
    world.record.ingest([NAMED_TWICE])
    claim = {**MINIMAL, "outputs": [{"namespace": "world", "name": "model/demo.model"}]}
    assert world.record.ingest([claim]).recorded == 1
    assert world.record.query(catalog_differences, world.record.ledger) == []
    with world.record.database.read() as connection:
        before = rows_of(connection)
        assert all(before.values()), "every table has rows, so that the comparison means something"
    rebuild_catalog(world.record.database, world.record.ledger)
    with world.record.database.read() as connection:
        assert rows_of(connection) == before


@pytest.mark.parametrize(
    ("statement", "what", "column"),
    [
        ("UPDATE catalog_edge SET ref = 'dataset/other@' || substr(ref, -64) WHERE role = 'frames' AND direction = 'input'", "changed", "ref"),
        ("UPDATE catalog_facet SET value = '{}' WHERE name = 'tracecore_engine'", "changed", "value"),
        ("UPDATE catalog_run_event SET event_type = 'FAIL' WHERE event_type = 'COMPLETE' AND job_name = 'demo.model'", "changed", "event_type"),
        ("UPDATE catalog_check SET success = NOT success WHERE name = 'no_leak'", "changed", "success"),
        ("UPDATE catalog_build SET position = position - 1", "changed", "position"),
        ("DELETE FROM catalog_edge WHERE role = 'labels'", "missing", ""),
        ("INSERT INTO catalog_staleness SELECT event_id, seq, 'forged', run_id, event_time FROM catalog_run_event LIMIT 1", "extra", ""),
        ("INSERT INTO catalog_staleness SELECT event_id, 1000, 'forged', run_id, event_time FROM catalog_run_event LIMIT 1", "extra", ""),
        ("INSERT INTO catalog_staleness SELECT event_id, -1, 'forged', run_id, event_time FROM catalog_run_event LIMIT 1", "extra", ""),
    ],
)
def test_a_changed_catalog_row_is_named(world: RecordWorld, statement: str, what: str, column: str) -> None:
    world.all()
    world.seal()
    differences = change(world, statement)
    assert {(difference.what, difference.column) for difference in differences} == {(what, column)}
    assert all(difference.row.startswith("catalog_") for difference in differences)
    rebuild_catalog(world.record.database, world.record.ledger)
    assert world.record.query(catalog_differences, world.record.ledger) == []


def test_a_row_moved_to_another_position_is_named(world: RecordWorld) -> None:
    world.ingest("north")
    differences = change(world, "UPDATE catalog_run_event SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM catalog_run_event) - 1")
    assert [(difference.what, difference.column) for difference in differences] == [("changed", "seq")]


def test_an_edited_event_is_noticed_by_the_comparison_and_refused_by_the_replay(world: RecordWorld) -> None:
    world.ingest("north")
    with world.record.database.write() as connection:
        body = json.loads(ledger.read_event(connection, next(ledger.read(connection)).event_id).body)  # type: ignore[union-attr]  # it is there
        body["job"]["name"] = "demo.other"
        connection.execute(text("UPDATE ledger_event SET body = :body WHERE seq = 0"), {"body": json.dumps(body).encode()})
    assert {difference.what for difference in world.record.query(catalog_differences, world.record.ledger)} == {"missing", "extra"}
    before = world.record.recorder.position()
    with pytest.raises(
        NegativeVerdict, match=r"Event 0 of the ledger is not what was recorded, so the catalog stays as it is: run 'tracecore verify'"
    ):
        rebuild_catalog(world.record.database, world.record.ledger)
    assert world.record.recorder.position() == before
    with world.record.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM catalog_run_event")).scalar_one() == before


def test_an_event_that_is_no_event_any_more_is_named(world: RecordWorld) -> None:
    world.ingest("north")
    with world.record.database.write() as connection:
        connection.execute(text("UPDATE ledger_event SET body = :body WHERE seq = 1"), {"body": b"\xff"})
    differences = world.record.query(catalog_differences, world.record.ledger)
    assert ("ledger_event 1", "unreadable") in {(difference.row, difference.what) for difference in differences}
    with pytest.raises(NegativeVerdict):
        rebuild_catalog(world.record.database, world.record.ledger)


class Shuffled:
    """A catalog in memory that events are put into in any order, as often as one likes."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://")
        SQLModel.metadata.create_all(self.engine, tables=list(PROJECTION))

    def rows(self, bodies: Sequence[bytes], own: LedgerName) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of events by the rules of the ledger: a byte-identical duplicate appends nothing."""
        with self.engine.begin() as connection:
            for projected in PROJECTION:
                connection.execute(delete(projected))
            seen: dict[str, int] = {}
            for body in bodies:
                identity = ledger.event_id(body)
                if identity not in seen:
                    seen[identity] = len(seen)
                    replay.write(connection, project(body, seen[identity], own))
            return rows_of(connection)


def _events(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], LedgerName]:
    world = RecordWorld.at(tmp_path_factory.mktemp("shuffled") / "workspace").all()
    world.seal()
    failing = world.start("model")
    world.record.recorder.fail(failing, "no")
    with world.record.database.read() as connection:
        found = [leaf.body for leaf in ledger.read(connection)]
    world.record.close()
    return found, world.record.ledger


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], LedgerName]:
    """Our own events, Airflow's and Marquez's; and our ledger."""
    own, name = _events(tmp_path_factory)
    return [*own, *airflow_events(), *marquez_events()], name


@pytest.fixture(scope="module")
def shuffled() -> Shuffled:
    return Shuffled()


@given(data=st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_any_duplicates_of_the_same_events_give_the_same_rows(
    everyone: tuple[list[bytes], LedgerName], shuffled: Shuffled, data: st.DataObject
) -> None:
    events, own = everyone
    order = data.draw(st.permutations(range(len(events))))
    twice = data.draw(st.lists(st.integers(0, len(events) - 1), max_size=40))
    again = shuffled.rows([events[place] for place in (*order, *twice)], own)
    assert again == shuffled.rows(events, own)


def test_the_record_itself_takes_shuffled_and_doubled_events_to_the_same_rows(tmp_path: Path) -> None:
    strangers = [*airflow_events(), *marquez_events()]
    first, second = (RecordWorld.at(tmp_path / name).record for name in ("first", "second"))
    first.ingest(strangers)
    for body in reversed(strangers):
        second.ingest([body, body])
    second.ingest(strangers)
    with first.database.read() as one, second.database.read() as other:
        theirs = {ledger.event_id(body) for body in strangers}
        assert of_events(rows_of(one), theirs) == of_events(rows_of(other), theirs)
        assert ledger.head(one).size == ledger.head(other).size == BEGUN + len(strangers)
    assert first.query(catalog_differences, first.ledger) == second.query(catalog_differences, second.ledger) == []
    first.close()
    second.close()


def test_rows_are_written_with_one_statement_a_table(world: RecordWorld) -> None:
    statements: list[str] = []
    event.listen(world.record.database.engine, "before_cursor_execute", lambda _c, _cu, statement, *_: statements.append(statement))
    world.ingest("north")
    inserts = [statement for statement in statements if statement.startswith("INSERT INTO catalog_facet")]
    assert len(inserts) == len([statement for statement in statements if statement.startswith("INSERT INTO catalog_run_event")])
