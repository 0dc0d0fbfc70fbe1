"""A team's record lies in PostgreSQL: the same tables, the same rows, writers one after the other."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from fresh_record import BEGUN
from sqlalchemy import update

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage import Record
from tracecore_lineage.catalog.pseudonyms import person_of, pseudonym_of
from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog
from tracecore_lineage.crypto import merkle
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_lineage.ledger import ledger, outbox
from tracecore_lineage.ledger.migrations.upgrade import differences, downgrade, upgrade
from tracecore_lineage.ledger.sql_tables import FACETS
from tracecore_lineage.model import rfc3339
from tracecore_lineage.retention.recover import recover
from tracecore_lineage.trace.bugs import reported_bugs
from tracecore_lineage.trace.kpi_history import kpi_history
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind

DATABASES = ("postgresql",)


def test_a_world_is_recorded_sealed_and_replayed(world: RecordWorld) -> None:
    world.all()
    world.seal()
    record = world.record
    assert record.database.dialect.shared
    assert record.query(catalog_differences, record.ledger) == []
    rebuild_catalog(record.database, record.ledger)
    assert record.query(catalog_differences, record.ledger) == []
    with record.database.read() as connection:
        head = ledger.head(connection)
        assert merkle.root_of(ledger.leaves(connection, head.size)) == head.root
        assert differences(connection) == []
        assert outbox.pending(connection) == 0
    assert record.trace("build/demo")["complete"] is True
    assert record.query(person_of, record.recorder.commit(pseudonym_of, "Ada Lovelace")) == "Ada Lovelace"
    assert not list(record.workspace.root.glob("record.db*"))


def test_every_question_is_answered_as_on_sqlite(world: RecordWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore_lineage.retention.recover._CLOCKS", timedelta(days=1))  # the server counts as begun now, however long it has run
    world.all()
    build = world.seal()
    record = world.record
    with Record.open(record.workspace) as crashed:
        run, elsewhere = RecordWorld(crashed).start("model"), RecordWorld(crashed).start("model", host="another-machine")
    assert record.impact("drive_log/north")["nodes"][0]["ref"] == build.ref
    assert record.query(show, "model/demo.model", workspace=record.workspace)["made_by"][0]["run"] == world.runs["model"]
    assert record.trace("build/demo", as_of=rfc3339.now())["position"] == build.position
    assert record.verify()["ok"]
    done = recover(record.recorder)
    assert (done.aborted, done.live) == ((run.id,), (elsewhere.id,)), "a server that began only now has forgotten who lives elsewhere"
    assert examine(record.recorder)["problems"] == []
    with record.database.write() as connection:
        connection.execute(update(FACETS).values(value="forged"))
    assert {failure["what"] for failure in record.verify("build/demo")["failures"]} == {"catalog row changed: value"}


def test_bugs_labelers_and_histories_are_answered_as_on_sqlite(world: RecordWorld) -> None:
    world.ingest("north")
    world.campaign("w_1", "w%2")
    report = artifact("kpi_report", "demo.kpis", "k", facets={"tracecore_kpis": {"values": {"map50": 0.4}, "baseline": {}}})
    world.run("kpis", StageKind.EVALUATE, [("labels", "labels")], {"report": report})
    world.made["model"], world.runs["model"] = report, world.runs["kpis"]
    build = world.seal()
    record = world.record
    reported = report_bug(record.recorder, "ghost brake", build="demo", frames=["frame/north/%2Fcamera%2Ffront%2Fimage/1500"], reporter="Bo")
    assert not report_bug(record.recorder, "ghost brake", build="demo", frames=["frame/north/%2Fcamera%2Ffront%2Fimage/1500"]).new
    assert record.query(reported_bugs, build="demo") == [reported.bug]
    for name in ("labeler/w_1", "labeler/w%252"):
        assert [node["ref"] for node in record.impact(name)["nodes"]][:3] == [build.ref, name, world.made["labels"].ref]
    with pytest.raises(UsageError, match="Did you mean 'labeler/w_1'"):
        record.impact("labeler/wx1")
    assert [entry["name"] for entry in record.trace("build/demo")["later"]] == [reported.bug.ref]
    assert record.query(kpi_history, "kpi_report/demo.kpis")["history"][0]["build"] == "demo"
    assert record.query(catalog_differences, record.ledger) == []


def test_several_writers_leave_no_hole(world: RecordWorld) -> None:
    records = [Record.open(world.record.workspace) for _ in range(3)]

    def write(record: Record) -> None:
        own = RecordWorld(record)
        for _ in range(8):
            own.start("model")

    threads = [threading.Thread(target=write, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with world.record.database.read() as connection:
        head = ledger.head(connection)
        assert head.size == BEGUN + 24
        assert merkle.root_of(ledger.leaves(connection, BEGUN + 24)) == head.root
    for record in records:
        record.close()


def test_migrations_lead_down_and_up_again(world: RecordWorld) -> None:
    engine = world.record.database.engine
    downgrade(engine, "base")
    upgrade(engine, world.record.database.version())
    with world.record.database.read() as connection:
        assert differences(connection) == []


def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracecore.errors import TracecoreError

    assert os.environ.get("TRACECORE_CATALOG_URL") is None
    monkeypatch.setenv("TRACECORE_CATALOG_URL", "postgresql+psycopg://nobody:secret@127.0.0.1:9/none")
    with pytest.raises(TracecoreError, match=r"can't be opened") as caught:
        RecordWorld.at(tmp_path / "workspace")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
