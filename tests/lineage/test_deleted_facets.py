"""A facet that a later event states to be gone (`_deleted`) is gone, by event time, of whatever subject."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from stated_events import FACET, RUN, dataset, event, job, lake, refs, run, take

from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage import Record
from tracecore_lineage.trace.show import show
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput

NOTE: dict[str, Any] = {"text": "x"}
GONE: dict[str, Any] = {"_deleted": True}


def on_run(hour: int, facet: dict[str, Any]) -> dict[str, Any]:
    return job(hour, "job") | {"eventType": "RUNNING", "run": {"runId": f"{RUN}1", "facets": {"note": {**FACET, **facet}}}}


def on_port(direction: str) -> Any:
    def told(hour: int, facet: dict[str, Any]) -> dict[str, Any]:
        port = dataset("t", "1") | {f"{direction}Facets": {"note": {**FACET, **facet}}}
        return run(1, hour, "job", **{f"{direction}s": [port]})

    return told


SUBJECTS = {
    "input": (lambda hour, facet: run(1, hour, "job", [dataset("t", "1", note=facet)]), lake("t", "1")),
    "output": (lambda hour, facet: run(1, hour, "job", [], [dataset("t", "1", note=facet)]), lake("t", "1")),
    "inputFacets": (on_port("input"), lake("t", "1")),
    "outputFacets": (on_port("output"), lake("t", "1")),
    "dataset": (lambda hour, facet: event(hour, dataset=dataset("t", "1", note=facet)), lake("t", "1")),
    "static input": (lambda hour, facet: job(hour, "job", [dataset("t", "1", note=facet)]), lake("t", "1")),
    "job": (lambda hour, facet: job(hour, "job", note=facet), "job/etl/job"),
    "run": (on_run, f"run/{RUN}1"),
}


def shown(record: Record, ref: str) -> dict[str, Any]:
    return record.query(show, ref, workspace=record.workspace)["facets"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("say", "ref"), SUBJECTS.values(), ids=list(SUBJECTS))
def test_a_facet_is_gone_from_its_deletion_on_whatever_came_first(tmp_path: Any, say: Any, ref: str) -> None:
    said, gone, again = say(1, NOTE), say(2, GONE), say(3, NOTE)
    for number, order in enumerate(itertools.permutations([said, gone])):
        record = take(RecordWorld.at(tmp_path / str(number) / ".tracecore"), *order)
        assert "note" not in shown(record, ref)
        assert "note" in shown(take_more(record, again), ref)


def take_more(record: Record, *events: Any) -> Record:
    assert not record.ingest(list(events)).refused
    return record


def test_a_deleted_version_is_no_version(world: RecordWorld) -> None:
    record = take(world, run(1, 1, "job", [], [dataset("t") | {"facets": {"version": {**FACET, **GONE}}}]))
    assert shown(record, f"external/lake/t@run:{RUN}1") == {}


def test_an_alias_holds_no_longer_when_its_facet_is_deleted(world: RecordWorld) -> None:
    alias = {"identifiers": [{"namespace": "s3", "name": "/wh/t", "type": "LOCATION"}]}
    record = take(
        world,
        run(1, 1, "write", [dataset("seed", "1")], [{"namespace": "s3", "name": "/wh/t", "facets": dataset("", "1")["facets"]}]),
        run(2, 2, "read", [dataset("t", "1", symlinks=alias)], [dataset("m", "1")]),
    )
    assert lake("m", "1") in refs(record.impact(lake("seed", "1")))
    record = take(world, event(3, dataset=dataset("t", None, symlinks=GONE)))
    assert lake("m", "1") not in refs(record.impact(lake("seed", "1")))


def test_a_stranger_takes_no_facet_from_ours(world: RecordWorld) -> None:
    world.ingest("north")
    ref = world.made["drives.frames"].ref
    before = shown(world.record, ref)
    ours = {
        "namespace": world.record.recorder.namespace,
        "name": ref.partition("@")[0],
        "facets": {
            "version": {**FACET, "datasetVersion": f"sha256:{ref[-64:]}"},
            **{name: {**FACET, **GONE} for name in before},
        },
    }
    stated_job = {"namespace": world.record.recorder.namespace, "name": "demo.drives", "facets": {"jobType": {**FACET, **GONE}}}
    take(world, event(1, dataset=ours) | {"eventTime": "2999-01-01T00:00:00Z"}, event(1, job=stated_job) | {"eventTime": "2999-01-01T00:00:00Z"})
    assert shown(world.record, ref) == before
    assert "jobType" in world.record.query(show, f"run/{world.runs['drives']}", workspace=world.record.workspace)["job_facets"]


def test_what_was_deleted_after_a_seal_is_told_as_later(world: RecordWorld) -> None:
    world.all()
    file = artifact("external", "t", "", namespace="lake")
    read = RunInput("calibration", replace(file, digest="1"))
    world.run("model", StageKind.TRAIN, [("frames", "training_set.train")], {"model": world.made["model"]}, more_inputs=[read])
    record = take(world, event(1, dataset=dataset("t", "1", note=NOTE)))
    world.seal("demo")
    assert "note" in next(node for node in record.trace("build/demo")["nodes"] if node["ref"] == lake("t", "1"))["facets"]
    take(world, event(2, dataset=dataset("t", "1", note=GONE)))
    [entry] = record.trace("build/demo")["later"]
    assert (entry["at"], entry["what"], entry["name"]) == (lake("t", "1"), "facet deleted", "note")
