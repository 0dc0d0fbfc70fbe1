"""What became known after a build was sealed appears under `later` only.

Modules: `trace/answer.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage.model import rfc3339
from tracecore_schemas.kinds import Severity, StageKind
from tracecore_schemas.run import Run, RunInput


def dataset_event(world: RecordWorld, ref: str, facets: dict[str, Any], at: str | None = None) -> dict[str, Any]:
    """An event of another producer that says something about one of our versions."""
    name, _, digest = ref.partition("@")
    version = {"_producer": "urn:other", "_schemaURL": "urn:other:version", "datasetVersion": f"sha256:{digest}"}
    said = {facet: {"_producer": "urn:other", "_schemaURL": "urn:other:x", **value} for facet, value in facets.items()}
    return {
        "eventTime": at or rfc3339.now(), "producer": "urn:other", "schemaURL": "urn:other:event",
        "dataset": {"namespace": world.record.recorder.namespace, "name": name, "facets": {"version": version, **said}},
    }  # fmt: skip


def without_later(trace: Any) -> str:
    return json.dumps({**trace, "later": []})


def test_a_facet_that_came_later_is_listed_and_changes_nothing_else(world: RecordWorld) -> None:
    world.all().seal()
    before = world.record.trace("build/demo")
    assert before["later"] == []
    model = world.made["model"].ref
    world.record.ingest([dataset_event(world, model, {"recall": {"why": "stolen weights"}})])
    after = world.record.trace("build/demo")
    assert without_later(after) == without_later(before)
    [entry] = after["later"]
    assert (entry["at"], entry["what"], entry["name"], entry["value"]) == (model, "facet", "recall", {"why": "stolen weights"})
    assert entry["position"] >= after["position"]
    assert entry["recorded_at"] is not None


def test_the_same_fact_said_again_is_no_news(world: RecordWorld) -> None:
    world.all()
    world.record.ingest([dataset_event(world, world.made["model"].ref, {"note": {"text": "seen"}})])
    world.seal()
    before = json.dumps(world.record.trace("build/demo"))
    world.record.ingest([dataset_event(world, world.made["model"].ref, {"note": {"text": "seen"}})])
    assert json.dumps(world.record.trace("build/demo")) == before


def test_a_facet_with_an_older_eventtime_than_the_one_that_stands_changes_nothing(world: RecordWorld) -> None:
    world.all()
    world.record.ingest([dataset_event(world, world.made["model"].ref, {"note": {"text": "seen"}})])
    world.seal()
    before = json.dumps(world.record.trace("build/demo"))
    world.record.ingest([dataset_event(world, world.made["model"].ref, {"note": {"text": "older"}}, "2001-01-01T00:00:00.000000Z")])
    assert json.dumps(world.record.trace("build/demo")) == before


def test_a_check_that_fails_later_is_listed_and_rejects_nothing_in_the_sealed_trace(world: RecordWorld) -> None:
    world.all().seal()
    world.check("training_set.train", "near_duplicates", success=False, severity=Severity.BLOCKING)
    trace = world.record.trace("build/demo")
    assert not any(node["rejected"] for node in trace["nodes"])
    [entry] = trace["later"]
    assert (entry["what"], entry["name"], entry["severity"]) == ("check failed", "near_duplicates", "blocking")
    assert world.record.trace("dataset/demo.training_set.train")["nodes"][0]["rejected"]


def test_a_gap_that_is_filled_later_stays_a_gap_of_the_build_and_is_listed_as_filled(world: RecordWorld) -> None:
    stray = artifact("dataset", "found", "in a drawer")
    world.run("model", StageKind.TRAIN, outputs={"model": artifact("model", "demo.model", "w")}, more_inputs=[RunInput("frames", stray)])
    world.seal()
    assert [gap["at"] for gap in world.record.trace("build/demo")["gaps"]] == [stray.ref]
    maker = Run(world.record.recorder.new_run_id(), "archive.found", datetime.now(UTC))
    world.record.recorder.start(maker)
    world.record.recorder.complete(maker, [], {"found": stray})
    trace = world.record.trace("build/demo")
    assert [gap["at"] for gap in trace["gaps"]] == [stray.ref]
    assert not trace["complete"]
    assert [(entry["what"], entry["at"], entry["run"]) for entry in trace["later"]] == [("gap filled", stray.ref, maker.id)]
    assert world.record.trace("model/demo.model")["complete"]


def test_as_of_shows_only_changes_since_seal_by_then(world: RecordWorld) -> None:
    world.all().seal()
    moment = rfc3339.now()
    world.record.ingest([dataset_event(world, world.made["model"].ref, {"recall": {"why": "stolen weights"}})])
    assert world.record.trace("build/demo", as_of=moment)["later"] == []
    assert len(world.record.trace("build/demo")["later"]) == 1
