"""Real events of other producers, in any order and each up to three times: one state, which is what a plain reading of them gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openlineage_data import airflow_events, marquez_events
from plain_projection import Plain
from shuffles import EmptiedRecord, answers, state
from sqlalchemy import select

from tracecore_lineage.ledger.sql_tables import EDGES, FACETS, RUN_EVENTS

SOURCES = {"airflow": airflow_events, "marquez": marquez_events}


@pytest.fixture(scope="module")
def emptied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmptiedRecord]:
    made = EmptiedRecord(tmp_path_factory.mktemp("order") / "workspace")
    yield made
    made.record.close()


def refs_of(bodies: Sequence[bytes]) -> list[str]:
    return sorted({edge[4] for edge in Plain.of(bodies).edges})


@pytest.mark.parametrize("source", SOURCES)
def test_any_order_and_any_duplication_gives_one_state_and_one_answer(emptied: EmptiedRecord, source: str) -> None:
    bodies = SOURCES[source]()
    expected = state(emptied.filled([bodies]))
    answered = answers(emptied.record)

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.permutations([place for place in range(len(bodies)) for _ in range(3)]),
        st.lists(st.integers(1, 3), min_size=len(bodies), max_size=len(bodies)),
    )
    def shuffled(order: list[int], times: list[int]) -> None:
        left = list(times)
        sent: list[bytes] = []
        for place in order:
            if left[place]:
                left[place] -= 1
                sent.append(bodies[place])
        middle = len(sent) // 2
        record = emptied.filled([sent[:middle], sent[middle:]])
        assert state(record) == expected
        assert record.recorder.position() == len(bodies)
        assert answers(record) == answered

    shuffled()


@pytest.mark.parametrize("source", [*SOURCES, "both"])
def test_the_state_is_what_a_plain_reading_of_the_events_gives(emptied: EmptiedRecord, source: str) -> None:
    bodies = [*airflow_events(), *marquez_events()] if source == "both" else SOURCES[source]()
    plain = Plain.of(bodies)
    record = emptied.filled([bodies])
    with record.database.read() as connection:
        columns = ("event_id", "run_id", "event_type", "event_time", "job_namespace", "job_name", "parent_run_id", "producer")
        assert {tuple(row) for row in connection.execute(select(*(RUN_EVENTS.c[name] for name in columns)))} == plain.run_events
        columns = ("event_id", "direction", "ordinal", "run_id", "ref", "event_type", "event_time")
        assert {tuple(row) for row in connection.execute(select(*(EDGES.c[name] for name in columns)))} == plain.edges
        columns = ("event_id", "subject", "name", "value", "event_time")
        assert {tuple(row) for row in connection.execute(select(*(FACETS.c[name] for name in columns)))} == plain.facets
    runs = plain.runs()
    assert len(runs) == {"airflow": 16, "marquez": 13, "both": 29}[source]
    for run, told in runs.items():
        [answered] = [node for node in record.trace(f"run/{run}")["runs"] if node["id"] == run]
        assert (answered["state"], answered["started_at"], answered["ended_at"]) == told
    for ref in refs_of(bodies):
        assert record.recorder.facets(ref) == plain.facets_of(ref)
    known = refs_of(bodies)
    # What each answer holds is compared with the plain model in test_histories; here, that the two directions agree over real events.
    behind = {(one["ref"], ref) for ref in known for one in record.trace(ref)["nodes"]}
    reached = {(ref, one["ref"]) for ref in known for one in record.impact(ref)["nodes"]}
    assert behind == reached


def test_an_input_pinned_to_version_1_stays_version_1_when_version_2_is_there(emptied: EmptiedRecord) -> None:
    """In whatever order the four runs arrive: the reader of version 1 was made from version 1 only, and version 2 reached nothing of it."""
    loads = [_run(1, outputs=[("raw", "1")]), _run(2, outputs=[("raw", "2")])]
    reports = [_run(3, inputs=[("raw", "1")], outputs=[("report", "a")]), _run(4, inputs=[("raw", "2")], outputs=[("report", "b")])]
    for order in ([*loads, *reports], [*reports, *loads], [loads[0], reports[0], loads[1], reports[1]], [reports[1], loads[1], reports[0], loads[0]]):
        record = emptied.filled([[body] for body in order])
        read = {edge["ref"] for edge in record.trace("external/lake/report@a")["edges"] if edge["direction"] == "input"}
        assert read == {"external/lake/raw@1"}
        assert record.trace("external/lake/report@a")["complete"]
        assert {node["ref"] for node in record.impact("external/lake/raw@2")["nodes"]} == {"external/lake/raw@2", "external/lake/report@b"}
        assert record.trace("external/lake/raw")["root"] == "external/lake/raw@2", "the newest is a convenience for people"


def _run(number: int, *, inputs: Sequence[tuple[str, str]] = (), outputs: Sequence[tuple[str, str]] = ()) -> bytes:
    def datasets(named: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        facet = {"_producer": "urn:p", "_schemaURL": "urn:s"}
        return [{"namespace": "lake", "name": name, "facets": {"version": {**facet, "datasetVersion": version}}} for name, version in named]

    event = {
        "eventTime": f"2026-11-22T10:0{number}:00Z", "eventType": "COMPLETE", "producer": "urn:p", "schemaURL": "urn:s",
        "run": {"runId": f"00000000-0000-7000-8000-00000000000{number}"}, "job": {"namespace": "etl", "name": f"job-{number}"},
        "inputs": datasets(inputs), "outputs": datasets(outputs),
    }  # fmt: skip
    return json.dumps(event).encode()
