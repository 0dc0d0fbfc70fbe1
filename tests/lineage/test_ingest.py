"""Events of other producers are taken whole and exact, once, and refused with a reason."""

from __future__ import annotations

import json
from typing import Any

from fresh_record import BEGUN
from openlineage_data import FACETS, airflow_events, marquez_events

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.ledger import ledger

RUN = "01a2040f-4186-711d-8e71-4ae6d5de555d"


DATABASES = ("sqlite", "postgresql")


def foreign(**members: Any) -> dict[str, Any]:
    base = {"eventTime": "2026-11-22T15:39:45Z", "producer": "urn:p", "schemaURL": "urn:s", "eventType": "COMPLETE"}
    return {**base, "run": {"runId": RUN}, "job": {"namespace": "theirs", "name": "job"}, **members}


def test_exact_bytes_are_kept_and_a_duplicate_is_answered_like_the_first(world: RecordWorld) -> None:
    body = json.dumps(foreign(), indent=3).encode()
    assert (world.record.ingest([body]).recorded, world.record.ingest([body, body]).known) == (1, 2)
    with world.record.database.read() as connection:
        assert [leaf.body for leaf in ledger.read(connection, BEGUN)] == [body]


def test_an_object_is_recorded_by_its_canonical_bytes(world: RecordWorld) -> None:
    found = world.record.ingest([foreign(), json.dumps(foreign(), sort_keys=True, separators=(",", ":"))])
    assert (found.recorded, found.known, found.refused) == (1, 1, ())


def test_the_good_are_taken_and_the_bad_are_named_with_their_place(world: RecordWorld) -> None:
    bad_id, own_job = foreign(run={"runId": "x"}), foreign(job={"namespace": "world", "name": "demo.model"})
    found = world.record.ingest([b"{", foreign(), bad_id, {"a": float("nan")}, own_job, {"a": object()}])
    assert found.recorded == 2, "what a stranger says of our job is a claim"
    assert [(refusal.index, refusal.reason.partition(" ")[0]) for refusal in found.refused] == [
        (0, "expected"), (2, "run.runId:"), (3, "expected"), (5, "expected"),
    ]  # fmt: skip
    assert world.record.recorder.position() == BEGUN + 2


def test_nothing_good_leaves_nothing(world: RecordWorld) -> None:
    assert len(world.record.ingest([b"", b"7"]).refused) == 2
    assert world.record.recorder.position() == BEGUN + 0


def test_nobody_else_ends_our_own_runs(world: RecordWorld) -> None:
    """A FAIL with an early eventTime would win over our COMPLETE, and what the run made would be a gap."""
    world.ingest("north")
    run = world.runs["drives"]
    for early in (foreign(eventType="FAIL", eventTime="2001-01-01T00:00:00Z", run={"runId": name}) for name in (run, run.upper())):
        assert "is a run of this workspace's own" in world.record.ingest([early]).refused[0].reason
    assert world.record.trace("dataset/demo.drives.frames")["complete"]


def test_nobody_else_declares_an_origin_or_takes_an_unknown_away_from_our_versions(world: RecordWorld) -> None:
    world.all()
    labels = world.made["labels"]
    version = {"_producer": "urn:p", "_schemaURL": "urn:s", "datasetVersion": labels.digest}
    empty = {"_producer": "urn:p", "_schemaURL": "urn:s", "unknowns": []}
    note = {"_producer": "urn:p", "_schemaURL": "urn:s", "text": "seen"}
    dataset = {
        "namespace": "world",
        "name": "label_batch/demo.labels",
        "facets": {"version": version, "tracecore_unknowns": empty, "theirs_note": note},
    }
    later = "2031-01-01T00:00:00Z"
    assert world.record.ingest([{"eventTime": later, "producer": "urn:p", "schemaURL": "urn:s", "dataset": dataset}]).recorded == 1
    assert world.record.ingest([foreign(eventTime=later, outputs=[dataset])]).recorded == 1
    facets = world.record.recorder.facets(labels.ref)
    assert facets["tracecore_unknowns"] == {
        "summary": "1 unknown · labeler",
        "unknowns": [{"what": "labeler", "why": "the file names none"}],
    }
    assert facets["theirs_note"] == {"text": "seen"}


def test_nobody_else_speaks_for_our_own_jobs(world: RecordWorld) -> None:
    """A forged COMPLETE with a staleness key would be used again as if it were ours."""
    key = "sha256:" + "a" * 64
    example = FACETS / "examples" / "tracecore_execution.json"
    facet = {**json.loads(example.read_bytes()), "key": key}
    forged = foreign(job={"namespace": "world", "name": "demo.model"}, run={"runId": RUN, "facets": {"tracecore_execution": facet}})
    assert world.record.ingest([forged]).recorded == 1, "a claim"
    assert world.record.recorder.reusable(key) == []
    forged = {**forged, "producer": world.record.ledger.producer, "run": {"runId": RUN.replace("0", "1")}}
    assert "its events are recorded by tracecore itself, and this one never was" in world.record.ingest([forged]).refused[0].reason
    world.ingest("north")
    with world.record.database.read() as connection:
        own = [leaf.body for leaf in ledger.read(connection)]
    assert world.record.ingest(own).known == len(own)


def test_airflow_and_marquez_are_taken(world: RecordWorld) -> None:
    bodies = [*airflow_events(), *marquez_events()]
    found = world.record.ingest(bodies)
    assert (found.recorded, found.refused) == (58, ())
    assert world.record.ingest(bodies).known == 58
    assert world.record.query(catalog_differences, world.record.ledger) == []
