"""What the recorder writes is valid OpenLineage 2-0-2, in canonical bytes, and every facet of ours has a schema.

Modules: `events/artifacts.py`, `events/datasets.py`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import rfc8785
from fresh_record import BEGUN
from openlineage_data import CORE, facets_of, problems, schemas

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage.ledger import ledger
from tracecore_lineage.seal.key_events import rotate_key
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import CodeLocation, Environment, Parent, Plugin


def recorded(world: RecordWorld) -> list[bytes]:
    with world.record.database.read() as connection:
        return [leaf.body for leaf in ledger.read(connection)]


def everything(world: RecordWorld) -> list[bytes]:
    """A world in which every kind of event was recorded."""
    world.all()
    world.seal()
    digest = "sha256:" + "d" * 64
    environment = Environment(digest, "3.11.7", "x86_64", "Debian GNU/Linux 12", (("numpy", "2.4.6", digest),))
    parent = Parent("01a2040f-0000-711d-8e71-4ae6d5de555d", "dagster", "world")
    more: dict[str, Any] = {"environment": environment, "parent": parent, "description": "Train.", "seed": 2**63}
    plugin = Plugin("training", "torch-detector", "tracecore-training", "0.1.0", digest)
    code = CodeLocation("git", "https://example.com/x.git", "3be1", "plugins/training")
    failing = world.start("model", StageKind.TRAIN, plugin=plugin, code=code, key=digest, host="build-3", threads=2, **more)
    world.record.recorder.fail(failing, "The loss is nan in step 7.", trace="Traceback …")
    stopped = world.start("model", StageKind.TRAIN)
    world.record.recorder.fail(stopped, "Interrupted.", aborted=True)
    killed = world.start("model", StageKind.TRAIN, plugin=plugin, parent=parent)
    assert world.record.recorder.abort(killed.id, "The process that ran it is gone.")
    rotate_key(world.record.recorder)
    return recorded(world)


def test_every_event_is_valid_by_openlineages_core_schema_and_every_facet_by_its_own(world: RecordWorld) -> None:
    registry = schemas()
    bodies = everything(world)
    seen = set()
    for body in bodies:
        event = json.loads(body)
        assert problems(event, CORE, registry) == []
        for place, name, facet in facets_of(event):
            seen.add((place, name))
            assert problems(facet, facet["_schemaURL"], registry) == [], (name, facet)
            if facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/"):
                whole = facet["_schemaURL"].partition("#")[0]
                assert problems({name: facet}, whole, registry) == [], "OpenLineage knows the facet by another name"
    standard = {
        ("dataset", "schema"), ("dataset", "version"), ("dataset", "symlinks"), ("input", "dataQualityAssertions"), ("job", "sourceCodeLocation"),
        ("job", "jobType"), ("run", "parent"), ("run", "processing_engine"), ("run", "errorMessage"), ("output", "outputStatistics"),
    }  # fmt: skip
    assert seen >= standard - {("dataset", "schema"), ("dataset", "symlinks")}
    ours = {name.removeprefix("tracecore_") for _, name in seen if name.startswith("tracecore_")}
    assert ours >= {"execution", "environment", "check", "quarantine", "abort", "build", "key", "artifact", "origin", "port", "unknowns"}


def test_events_are_their_own_canonical_bytes_with_utc_times_and_no_nulls_outside_what_stages_say(world: RecordWorld) -> None:
    for body in everything(world):
        event = json.loads(body)
        assert rfc8785.dumps(event) == body
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["eventTime"])
        assert event["producer"] == world.record.ledger.producer
        assert event["schemaURL"].endswith("2-0-2/OpenLineage.json#/$defs/RunEvent")
        assert event["job"]["namespace"] == "world"
        assert b":null" not in body


def test_every_run_has_one_start_and_at_most_one_end(world: RecordWorld) -> None:
    runs: dict[str, list[str]] = {}
    for body in everything(world):
        event = json.loads(body)
        runs.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert {types[0] for types in runs.values()} == {"START"}
    assert {len(types) for types in runs.values()} == {2}


def test_an_environment_is_recorded_once_for_each_digest(world: RecordWorld) -> None:
    for digest in ("a", "b", "a"):
        environment = Environment("sha256:" + digest * 64, "3.11", "x86_64", "Debian", ())
        world.start("model", StageKind.TRAIN, environment=environment)
    events = [json.loads(body) for body in recorded(world)[BEGUN:]]
    found = [event["run"]["facets"]["tracecore_environment"]["digest"][-1] for event in events if "tracecore_environment" in event["run"]["facets"]]
    assert found == ["a", "b"]
    assert [event["job"]["name"] for event in events][:3] == ["tracecore.environment", "tracecore.environment", "demo.model"]


def test_what_a_stage_says_keeps_its_nulls_and_its_own_schema(world: RecordWorld) -> None:
    said = {"place": None, "list": [None, {}], "n": 1.5}
    made = artifact("model", "demo.model", "m", facets={"tracecore_training": said, "mine": {"_schemaURL": "urn:mine:2", "x": 1}, "bare": {"y": 2}})
    world.run("model", StageKind.TRAIN, outputs={"model": made}, params={"crop": None})
    event = json.loads(recorded(world)[-1])
    facets = event["outputs"][0]["facets"]
    assert {name: value for name, value in facets["tracecore_training"].items() if not name.startswith("_")} == said
    assert facets["tracecore_training"]["_schemaURL"] == "urn:tracecore:tracecore_training:1"
    assert facets["mine"]["_schemaURL"] == "urn:mine:2"
    assert facets["bare"]["_schemaURL"].endswith("#/$defs/BaseFacet")
    assert event["run"]["facets"]["tracecore_execution"]["params"] == {"crop": None}
    assert world.record.recorder.artifacts("model", "demo.model")[0].facets["tracecore_training"] == said


def test_an_input_that_a_recorded_run_made_is_named_by_version_alone_and_any_other_is_described(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    event = next(json.loads(body) for body in recorded(world) if b"demo.training_set" in body and b'"eventType":"COMPLETE"' in body)
    program, frames = event["inputs"]
    assert set(frames["facets"]) == {"version"}
    assert frames["inputFacets"]["tracecore_port"]["producer_run"] == world.runs["drives"]
    assert set(program["facets"]) == {"version", "tracecore_artifact", "tracecore_origin"}


@pytest.mark.parametrize(
    ("value", "why"),
    [(float("nan"), "nan"), (2**60, r"2\^53 - 1 travel as texts"), ("\ud800", "can't be recorded"), ({1, 2}, "can't be recorded")],
)
def test_what_json_cannot_hold_is_refused_and_leaves_the_run_open(world: RecordWorld, value: Any, why: str) -> None:
    run = world.start("model", StageKind.TRAIN)
    before = world.record.recorder.position()
    with pytest.raises(UsageError, match=why) as caught:
        world.record.recorder.complete(run, [], {"model": artifact("model", "demo.model", "m", facets={"mine": {"x": value}})})
    assert "demo.model" in str(caught.value)
    assert world.record.recorder.position() == before
    world.record.recorder.fail(run, str(caught.value))
