"""A share of the hostile events: each is taken whole or refused whole, with a reason; and the judge notices a record that does otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz import EVENTS_A_TRIAL, Fuzz, drawn_events, judge_import, judge_one
from small_record import strangers_events
from sqlalchemy import insert

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.exchange.ingest import Ingested, Refused, ingest
from tracecore_lineage.ledger.sql_tables import OUTBOX


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://localhost:9")
    made = Record.open(Workspace.create(tmp_path / "workspace", slug="fuzz"))
    yield made
    made.close()


def test_a_share_of_the_hostile_events_breaks_nothing(tmp_path: Path) -> None:
    assert drawn_events(1) == drawn_events(1), "a trial is the same each time"
    with Fuzz().trials(tmp_path) as attempt:
        trials = [attempt(number) for number in (1, 5)]
    assert [why for trial in trials for why in trial.broken] == []
    counts = Counter[str]()
    for trial in trials:
        counts.update(trial.counts)
    assert counts["events"] == 2 * EVENTS_A_TRIAL
    assert counts["taken"] > 20
    assert counts["refused"] > 50
    assert counts["imports"] == 2


def leaks(real: Callable[..., Ingested]) -> Callable[..., Ingested]:
    def ingest(record: Record, events: list[bytes], **more: Any) -> Ingested:
        answer = real(record, events, **more)
        if answer.refused:
            with record.database.write() as connection:
                connection.execute(insert(OUTBOX), {"seq": 10_000, "attempts": 0})
        return answer

    return ingest


def crashes(real: Callable[..., Ingested]) -> Callable[..., Ingested]:
    def ingest(record: Record, events: list[bytes], **more: Any) -> Ingested:
        raise KeyError("eventType")

    return ingest


def says(reason: str) -> Callable[..., Callable[..., Ingested]]:
    return lambda real: lambda record, events, **more: Ingested(0, 0, (Refused(0, reason),))


def pretends(real: Callable[..., Ingested]) -> Callable[..., Ingested]:
    return lambda record, events, **more: Ingested(1, 0, ())


@pytest.mark.parametrize(
    ("planted", "body", "told"),
    [
        (leaks, b"{", "was not taken, and the record changed"),
        (crashes, b"{", "ingest raised KeyError"),
        (says(""), b"{", "without a reason"),
        (says("Traceback (most recent call last):\n  File"), b"{", "no sentence that can be shown"),
        (says("x" * 10_000), b"{", "no sentence that can be shown (10,000 characters)"),
        (pretends, strangers_events(1)[0], "ledger and outbox grew by (0, 0)"),
    ],
)
def test_a_record_that_does_otherwise_is_found_out(
    record: Record, monkeypatch: pytest.MonkeyPatch, planted: Callable[..., Any], body: bytes, told: str
) -> None:
    assert judge_one(record, strangers_events(2)[1], Counter()) is None
    assert judge_one(record, b"{", Counter()) is None
    monkeypatch.setattr(Record, "ingest", planted(Record.ingest))
    assert told in str(judge_one(record, body, Counter()))


def test_an_event_that_costs_a_statement_for_each_of_its_members_is_found_out(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Record.ingest

    def slow(self: Record, events: list[bytes], **more: Any) -> Ingested:
        for _ in range(50):
            self.recorder.position()
        return real(self, events, **more)

    monkeypatch.setattr(Record, "ingest", slow)
    assert "SQL statements" in str(judge_one(record, strangers_events(1)[0], Counter()))


def test_an_import_that_leaves_something_of_a_refused_file_is_found_out(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [strangers_events(1)[0], b"{"]
    assert judge_import(record.workspace.root, bodies, tmp_path / "events.ndjson", Counter()) == []

    def half(recorder: RecordWriter, events: list[Any], **_: Any) -> Any:
        from tracecore.errors import UsageError

        ingest(recorder, [strangers_events(4)[3]])
        raise UsageError("events.ndjson:2: it is not an event.")

    monkeypatch.setattr("tracecore_lineage.exchange.event_files.take_events", half)
    [first, *_] = judge_import(record.workspace.root, bodies, tmp_path / "events.ndjson", Counter())
    assert "left something" in first
