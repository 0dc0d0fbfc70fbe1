"""Reasons for refusing an event are sentences that can be shown, whatever the event holds; the fuzz soak found what is here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fresh_record import BEGUN

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.events.parse import BadEvent
from tracecore_lineage.trace.show import show

GOOD = {
    "eventTime": "2026-11-22T15:39:45Z",
    "eventType": "COMPLETE",
    "producer": "urn:p",
    "schemaURL": "urn:s",
    "run": {"runId": "01a2040f-4186-711d-8e71-4ae6d5de555d"},
    "job": {"namespace": "theirs", "name": "job"},
}


def refused(world: RecordWorld, **members: Any) -> str:
    answer = world.record.ingest([json.dumps({**GOOD, **members}).encode()])
    assert (answer.recorded, answer.known, world.record.recorder.position()) == (0, 0, BEGUN)
    return answer.refused[0].reason


@pytest.mark.parametrize(("kind", "found"), [({}, "an object"), ([], "a list"), (None, "none"), (7, "7"), ("BEGIN", "'BEGIN'")])
def test_an_event_type_of_any_other_type_is_refused_with_what_was_found(world: RecordWorld, kind: Any, found: str) -> None:
    expected = f"eventType: expected one of ABORT, COMPLETE, FAIL, OTHER, RUNNING, START, found {found}"
    assert refused(world, eventType=kind) == expected


@pytest.mark.parametrize(
    "members",
    [
        {"run": {"runId": "x" * 1_000_000}},
        {"eventTime": "2" * 1_000_000},
        {"eventType": "x" * 1_000_000},
        {"job": {"namespace": "theirs", "name": "job", "facets": {"y" * 1_000_000: 7}}},
    ],
)
def test_of_a_huge_text_a_reason_shows_the_beginning(world: RecordWorld, members: dict[str, Any]) -> None:
    reason = refused(world, **members)
    assert len(reason) < 500
    assert reason.endswith("…")


def test_what_cannot_be_printed_is_escaped_in_a_reason(world: RecordWorld) -> None:
    reason = refused(world, job={"namespace": "theirs", "name": "job", "facets": {"a\nb\u202e\U0010ffff": []}})
    assert reason == r"job.facets.a\nb\u202e\U0010ffff: expected a facet, a JSON object, found a list"
    assert BadEvent("a\ud800").args == (r"a\ud800",)


FACET = {"_producer": "urn:p", "_schemaURL": "urn:s"}


@pytest.mark.parametrize("value", [7, "x", [7], [{}], [{"what": "clock"}], {"what": "clock"}, [None], [[]]])
@pytest.mark.parametrize(
    ("facet", "member"), [("tracecore_unknowns", "unknowns"), ("tracecore_quarantine", "files"), ("tracecore_execution", "plugin")]
)
def test_a_strangers_facet_of_ours_that_makes_no_sense_stops_no_trace(world: RecordWorld, facet: str, member: str, value: Any) -> None:
    """It would else take away the trace of every build that read a version of theirs."""
    said = {facet: {**FACET, member: value, "params": value}}
    version = {"version": {**FACET, "datasetVersion": "1"}, **said}
    dataset = {"namespace": "theirs", "name": "table", "facets": version}
    event = {**GOOD, "run": {**GOOD["run"], "facets": said}, "outputs": [dataset]}  # type: ignore[dict-item]
    assert world.record.ingest([json.dumps(event).encode()]).recorded == 1
    trace = world.record.trace("external/theirs/table@1")
    told = [unknown["why"] for unknown in trace["unknowns"] if unknown["what"] != "execution"]
    assert bool(told) == (facet != "tracecore_execution"), "shown as it stands, not left out"
    assert world.record.impact("external/theirs/table@1")["nodes"]
    assert world.record.query(show, "external/theirs/table@1", workspace=world.record.workspace)
    assert world.record.query(show, f"run/{GOOD['run']['runId']}", workspace=world.record.workspace)  # type: ignore[index]
    with pytest.raises(UsageError, match="no recorded run ran it"):
        world.record.trace("plugin/none")


def test_a_run_event_with_a_member_of_another_kind_of_event_is_taken_as_a_run_event(world: RecordWorld) -> None:
    event = {"eventType": "COMPLETE", "eventTime": "2026-11-01T00:01:00Z", "producer": "urn:p", "schemaURL": "urn:s", "dataset": None}
    event |= {"run": {"runId": "0" * 8 + "-0000-4000-8000-" + "0" * 12}, "job": {"namespace": "etl", "name": "job"}}
    assert world.record.ingest([event]).refused == ()
