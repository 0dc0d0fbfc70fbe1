"""Runs of other OpenLineage producers: versions where they name them, gaps and inferred producers where they don't, any order and any duplication."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tracecore.testing.worlds import RecordWorld

READ, WROTE = "inputs", "outputs"
RUNS = {name: f"0199c1f4-8f0e-7a31-9c55-{number:012x}" for number, name in enumerate(("load", "load again", "report"))}


def dataset(name: str, version: str | None = None) -> dict[str, Any]:
    facet = {"_producer": "urn:etl", "_schemaURL": "urn:etl:version", "datasetVersion": version}
    return {"namespace": "s3://lake", "name": name, **({"facets": {"version": facet}} if version else {})}


def event(run: str, kind: str, minute: int, **datasets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "eventType": kind, "eventTime": f"2026-01-01T00:{minute:02}:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": RUNS[run]}, "job": {"namespace": "etl", "name": run}, **datasets,
    }  # fmt: skip


LOADS = [event("load", "START", 1), event("load", "COMPLETE", 2, outputs=[dataset("raw")])]
LOADS_AGAIN = [event("load again", "START", 5), event("load again", "COMPLETE", 6, outputs=[dataset("raw")])]
REPORTS = [event("report", "START", 3, inputs=[dataset("raw")]), event("report", "COMPLETE", 4, outputs=[dataset("report", "v7")])]
REPORT, UNVERSIONED = "external/s3%3A%2F%2Flake/report@v7", "external/s3%3A%2F%2Flake/raw@unversioned"


def test_an_input_without_a_version_is_a_gap_that_shows_its_likely_producer_as_inferred(world: RecordWorld) -> None:
    world.record.ingest([*LOADS, *REPORTS, *LOADS_AGAIN])
    trace = world.record.trace("external/s3%3A%2F%2Flake/report")
    assert trace["root"] == REPORT
    assert not trace["complete"]
    [gap] = trace["gaps"]
    assert (gap["at"], gap["missing"]) == (UNVERSIONED, "version")
    inferred = [edge for edge in trace["edges"] if edge["inferred"]]
    assert [(edge["run"], edge["ref"], edge["direction"]) for edge in inferred] == [(RUNS["load"], UNVERSIONED, "output")]
    assert all(node["digest"] is None for node in trace["nodes"])


def test_without_an_earlier_output_the_gap_names_no_producer(world: RecordWorld) -> None:
    world.record.ingest([*REPORTS, *LOADS_AGAIN])
    trace = world.record.trace(REPORT)
    assert "no earlier output of that dataset is recorded" in trace["gaps"][0]["why"]
    assert not any(edge["inferred"] for edge in trace["edges"])


def test_runs_of_others_are_listed_as_unknown_in_what_they_ran(world: RecordWorld) -> None:
    world.record.ingest([*LOADS, *REPORTS])
    trace = world.record.trace(REPORT)
    assert [(unknown["at"], unknown["what"]) for unknown in trace["unknowns"]] == [(f"run/{RUNS[name]}", "execution") for name in ("load", "report")]


def test_an_output_without_a_version_is_named_by_its_run_and_reaches_its_likely_reader(world: RecordWorld) -> None:
    world.record.ingest([*LOADS, *REPORTS])
    reached = world.record.impact(f"external/s3%3A%2F%2Flake/raw@run:{RUNS['load']}")
    assert REPORT in [node["ref"] for node in reached["nodes"]]
    assert [gap["at"] for gap in reached["gaps"]] == [UNVERSIONED]


@pytest.mark.parametrize("seed", range(5))
def test_any_order_and_any_duplication_of_events_gives_the_same_trace(tmp_path: Path, seed: int) -> None:
    events = [*LOADS, *REPORTS, *LOADS_AGAIN, event("report", "FAIL", 9), event("load", "ABORT", 8, outputs=[dataset("raw")])]
    answers = set()
    for name, order in (("in order", events), ("shuffled", random.Random(seed).choices(events, k=30) + events)):
        world = RecordWorld.at(tmp_path / name)
        for each in order:
            world.record.ingest([each])
        trace = world.record.trace(REPORT)
        times = [{key: value for key, value in node.items() if key != "recorded_at"} for node in trace["nodes"]]
        answers.add(json.dumps([times, trace["runs"], trace["edges"], trace["gaps"], trace["unknowns"]]))
        world.record.close()
    assert len(answers) == 1


def test_a_run_that_ended_is_never_reopened_by_a_later_terminal_event(world: RecordWorld) -> None:
    world.record.ingest([*LOADS, *REPORTS, event("report", "FAIL", 9)])
    assert world.record.trace(REPORT)["runs"][0]["state"] == "COMPLETE"
