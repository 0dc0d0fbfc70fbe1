"""Which maker a reading resolves to: labels made several times, appends, renames whose old name is used again, words of ours."""

from __future__ import annotations

import json
import random
from typing import Any

from tracecore.testing.worlds import RecordWorld


def dataset(text: str, **facets: Any) -> dict[str, Any]:
    name, _, version = text.partition("@")
    said = {**({"version": {"datasetVersion": version}} if version else {}), **facets}
    envelope = {"_producer": "urn:etl", "_schemaURL": "urn:etl:facet"}
    return {"namespace": "lake", "name": name, "facets": {key: {**envelope, **value} for key, value in said.items()}}


def changed(name: str, change: str, old: str | None = None) -> dict[str, Any]:
    previous = {"previousIdentifier": {"namespace": "lake", "name": old}} if old else {}
    return dataset(name, lifecycleStateChange={"lifecycleStateChange": change, **previous})


def event(number: int, minute: int, inputs: list[Any], outputs: list[Any], kind: str = "COMPLETE") -> dict[str, Any]:
    return {
        "eventType": kind, "eventTime": f"2026-01-01T00:{minute:02}:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": f"0199c1f4-8f0e-7a31-9c55-{number:012x}"}, "job": {"namespace": "etl", "name": f"job{number}"},
        "inputs": inputs, "outputs": outputs,
    }  # fmt: skip


def names(answer: Any) -> set[str]:
    return {node["ref"].removeprefix("external/lake/") for node in answer["nodes"]}


def answers(world: RecordWorld, events: list[dict[str, Any]], of: str) -> set[str]:
    assert not world.record.ingest(random.Random(7).sample(events, len(events))).refused
    return names(world.record.trace(f"external/lake/{of}"))


def test_every_append_since_the_last_overwrite_is_a_producer(world: RecordWorld) -> None:
    events = [
        event(1, 1, [dataset("a@1")], [dataset("t")]), event(2, 2, [dataset("b@1")], [changed("t", "OVERWRITE")]),
        event(3, 3, [dataset("c@1")], [dataset("t")]), event(4, 4, [dataset("t")], [dataset("m@1")]),
    ]  # fmt: skip
    found = answers(world, events, "m@1")
    assert found >= {"b@1", "c@1"}
    assert "a@1" not in found
    for source in ("b@1", "c@1"):
        assert "m@1" in names(world.record.impact(f"external/lake/{source}"))
    assert "m@1" not in names(world.record.impact("external/lake/a@1"))


def test_what_takes_the_old_name_after_a_rename_is_another_dataset(world: RecordWorld) -> None:
    events = [
        event(1, 1, [dataset("a@1")], [dataset("old")]), event(2, 2, [], [changed("new", "RENAME", "old")]),
        event(3, 3, [dataset("b@1")], [dataset("old")]), event(4, 4, [dataset("new")], [dataset("m@1")]),
        event(5, 5, [dataset("old")], [dataset("n@1")]),
    ]  # fmt: skip
    assert "a@1" in answers(world, events, "m@1")
    assert "b@1" not in answers(world, events, "m@1")
    assert "a@1" not in answers(world, events, "n@1")
    assert "b@1" in answers(world, events, "n@1")


def test_a_version_made_between_start_and_complete_is_not_what_was_read(world: RecordWorld) -> None:
    events = [
        event(1, 1, [dataset("a@1")], [dataset("t")]), event(2, 2, [dataset("t")], [], "START"),
        event(3, 3, [dataset("b@1")], [changed("t", "OVERWRITE")]), event(2, 4, [dataset("t")], [dataset("m@1")]),
    ]  # fmt: skip
    found = answers(world, events, "m@1")
    assert "a@1" in found
    assert "b@1" not in found


def test_a_label_that_is_a_word_of_ours_is_marked(world: RecordWorld) -> None:
    events = [event(1, 1, [], [dataset("t@unversioned")]), event(2, 2, [dataset("t@run:x")], [dataset("m@1")])]
    assert answers(world, events, "m@1") == {"m@1", "t@label%3Arun%3Ax"} or "t@label:run:x" in names(world.record.trace("external/lake/m@1"))


def test_an_output_of_an_aborted_run_exists(world: RecordWorld) -> None:
    trace_of = [event(1, 1, [dataset("a@1")], [dataset("b@1")], "ABORT"), event(2, 2, [dataset("b@1")], [dataset("c@1")])]
    assert "a@1" in answers(world, trace_of, "c@1")
    assert {run["state"] for run in world.record.trace("external/lake/c@1")["runs"]} == {"ABORT", "COMPLETE"}


def test_a_stranger_neither_makes_nor_names_our_newest_version(world: RecordWorld) -> None:
    world.all()
    before = world.record.trace("model/demo.model")["root"]
    late = event(9, 9, [], [dataset("model/demo.model@sha256:" + "e" * 64)])
    late["eventTime"] = "2099-01-01T00:00:00Z"
    late["outputs"][0]["namespace"] = world.record.recorder.namespace
    late["inputs"] = [json.loads(json.dumps(late["outputs"][0]))]
    assert not world.record.ingest([late]).refused
    assert world.record.trace("model/demo.model")["root"] == before


def test_a_label_that_nobody_made_may_be_what_was_written_without_one(world: RecordWorld) -> None:
    made, read = event(1, 1, [dataset("s@1")], [dataset("t")]), event(2, 2, [dataset("t@5")], [dataset("m@1")])
    world.record.ingest([made, read])
    answer = world.record.impact("external/lake/s@1")
    assert [gap["why"] for gap in answer["gaps"] if "external/lake/t@5" in gap["why"]], answer["gaps"]
    assert not answer["complete"]
    assert not world.record.trace("external/lake/m@1")["complete"]


def test_a_label_that_only_a_rename_or_an_alter_gave_may_be_what_was_written_before(world: RecordWorld) -> None:
    for number, name, change in ((1, "renamed", changed("n", "RENAME", "renamed")), (4, "altered", changed("altered", "ALTER"))):
        change["facets"]["version"] = dataset("x@9")["facets"]["version"]
        label = f"{change['name']}@9"
        made, read = (
            event(number, 1, [dataset(f"s-{name}@1")], [dataset(f"{name}@1")]),
            event(number + 2, 3, [dataset(label)], [dataset(f"m-{name}@1")]),
        )
        world.record.ingest([made, event(number + 1, 2, [], [change]), read])
        assert not world.record.impact(f"external/lake/s-{name}@1")["complete"]


def test_another_producers_number_of_an_artifact_may_be_any_version_of_it(world: RecordWorld) -> None:
    world.all()
    read = dataset("x@v1") | {"namespace": "world", "name": "model/demo.model"}
    world.record.ingest([event(1, 1, [read], [dataset("m@1")]) | {"eventTime": "2098-01-01T00:00:00Z"}])
    ref = world.made["model"].ref
    assert [gap["at"] for gap in world.record.impact(ref)["gaps"]] == [ref]
