"""The shared cases of what OpenLineage events mean, each with its right outcome; skipped where the shared data is absent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.trace.show import show

CASES = Path(__file__).parents[3] / "shared" / "cases" / "lineage"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="shared cases are absent")


def lake(name: str, version: str) -> str:
    return f"external/lake/{name}@{version}"


def refs(answer: Any) -> set[str]:
    return {node["ref"] for node in answer["nodes"]}


def whats(answer: Any) -> set[str]:
    return {unknown["what"] for unknown in answer["unknowns"]}


def take(world: RecordWorld, case: str) -> Any:
    done = world.record.ingest((CASES / f"{case}.ndjson").read_bytes().splitlines())
    assert not done.refused
    return world.record


@pytest.mark.parametrize(
    ("case", "first", "last"),
    [
        ("two-completes", lake("raw", "7"), lake("gold", "9")),
        ("two-completes", lake("ref", "2"), lake("gold", "9")),
        ("two-completes", lake("raw", "7"), lake("kpi", "1")),
        ("fail-then-complete", lake("a", "1"), lake("b", "1")),
        ("fail-then-complete", lake("a", "1"), lake("c", "1")),
        ("recreated-version-restarts", lake("new_src", "1"), lake("model", "1")),
        ("symlinks", lake("seed", "1"), lake("model", "1")),
        ("rename", lake("seed", "1"), lake("model", "1")),
        ("streaming-running", lake("topic", "1"), lake("model", "1")),
        ("column-lineage-without-inputs", lake("src", "1"), lake("out", "1")),
    ],
)
def test_a_version_and_what_it_was_made_from_reach_each_other(world: RecordWorld, case: str, first: str, last: str) -> None:
    record = take(world, case)
    assert last in refs(record.impact(first))
    assert first in refs(record.trace(last))


@pytest.mark.parametrize("cases", [*([path.stem] for path in CASES.glob("*.ndjson")), [path.stem for path in CASES.glob("*.ndjson")]])
def test_every_pair_of_versions_is_found_from_both_ends(world: RecordWorld, cases: list[str]) -> None:
    for case in cases:
        world.record.ingest((CASES / f"{case}.ndjson").read_bytes().splitlines())
    with world.record.database.read() as connection:
        known = set(connection.exec_driver_sql("select ref from catalog_edge where direction in ('input', 'output')").scalars())
    back = {ref: refs(world.record.trace(ref)) for ref in known}
    forth = {ref: refs(world.record.impact(ref)) for ref in known}
    assert {(one, other) for one in known for other in known & back[one]} == {(one, other) for other in known for one in known & forth[other]}


def test_a_run_with_two_ends_says_so_and_keeps_its_edges(world: RecordWorld) -> None:
    trace = take(world, "fail-then-complete").trace(lake("b", "1"))
    assert "end" in whats(trace)


def test_a_label_made_twice_is_read_from_the_maker_before_the_reading(world: RecordWorld) -> None:
    trace = take(world, "recreated-version-restarts").trace(lake("model", "1"))
    assert lake("old_src", "1") not in refs(trace)
    assert "made 2 times" in whats(trace)
    [edge] = [edge for edge in trace["edges"] if edge["ref"] == lake("t", "0") and edge["direction"] == "input"]
    assert edge["made_by"].endswith("3")


def test_a_drop_makes_nothing_and_the_gap_names_it(world: RecordWorld) -> None:
    trace = take(world, "drop-then-read").trace(lake("model", "1"))
    assert [run["job"] for run in trace["runs"]] == ["use"]
    assert not trace["complete"]
    assert "dropped" in trace["gaps"][0]["why"]


def test_what_a_running_stream_writes_is_its_likely_output(world: RecordWorld) -> None:
    trace = take(world, "streaming-running").trace(lake("model", "1"))
    assert "OPEN" in {run["state"] for run in trace["runs"]}
    assert not trace["complete"]


def test_an_input_that_column_lineage_alone_names_has_the_role_column(world: RecordWorld) -> None:
    trace = take(world, "column-lineage-without-inputs").trace(lake("out", "1"))
    assert "column" in {edge["role"] for edge in trace["edges"]}


def test_a_start_after_its_end_is_an_unknown_of_clocks(world: RecordWorld) -> None:
    assert "clock" in whats(take(world, "skew-start-after-complete").trace(lake("b", "1")))


def test_static_lineage_answers_and_is_marked_so(world: RecordWorld) -> None:
    record = take(world, "job-event")
    assert (
        record.query(show, "job/etl/static", workspace=record.workspace)["static"]
        == record.query(show, lake("in1", "1"), workspace=record.workspace)["static"]
        == record.query(show, lake("out1", "1"), workspace=record.workspace)["static"]
    )
    forth, back = record.impact(lake("in1", "1")), record.trace(lake("out1", "1"))
    for answer in (forth, back):
        assert [(edge["job"], edge["direction"], edge["ref"]) for edge in answer["static"]] == [
            ("etl/static", "input", lake("in1", "1")),
            ("etl/static", "output", lake("out1", "1")),
        ]
        assert not answer["edges"]
        assert not answer["complete"]
    assert record.query(show, lake("only_ds", "1"), workspace=record.workspace)["made_by"] == []


def test_a_deleted_facet_is_gone(world: RecordWorld) -> None:
    ref = lake("b", "1")
    record = take(world, "deleted-facet")
    assert "ownership" not in record.query(show, ref, workspace=record.workspace)["facets"]
    assert "ownership" not in record.trace(ref)["nodes"][0]["facets"]


def test_every_case_is_tried_here() -> None:
    named = re.findall(r"^\| ([a-z-]+) \|", (CASES.parent / "INDEX.md").read_text().partition("## lineage")[2].partition("## leak")[0], re.MULTILINE)
    source = Path(__file__).read_text()
    assert sorted({path.stem for path in CASES.glob("*.ndjson")}) == sorted(set(named) - {"case"})
    assert [case for case in named if case != "case" and f'"{case}"' not in source and f"{case}.ndjson" not in source] == []


def test_a_strangers_word_of_having_made_a_version_of_ours_is_a_claim(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    world.label()
    world.train()
    ref = world.made["model"].ref
    before = world.record.trace(ref)
    kind_name, _, digest = ref.partition("@")
    for line in (CASES / "foreign-claims-ours.ndjson").read_bytes().splitlines():
        event = json.loads(line)
        for entry in [*event["inputs"], *event["outputs"]]:
            if entry["namespace"] == "two1":
                entry["namespace"], entry["name"] = world.record.recorder.namespace, kind_name
                entry["facets"]["version"]["datasetVersion"] = f"sha256:{digest}"
        world.record.ingest([json.dumps(event)])
    after = world.record.trace(ref)
    assert [claim["job"] for claim in after["claims"]] == ["etl/evil"]
    assert {**after, "claims": [], "position": 0} == {**before, "position": 0}
    assert lake("stolen", "1") in refs(world.record.impact(ref))
