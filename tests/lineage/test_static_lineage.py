"""What JobEvents and DatasetEvents state is answered, marked as static, and is neither a reading nor the making of a version.

Modules: `trace/walk.py`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import bundle_world
import pytest
from click.testing import CliRunner
from stated_events import FACET, RUN, dataset, edges, event, job, lake, refs, run, take

from tracecore.commands.shell import cli
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_graphql.named_queries import document
from tracecore_graphql.schema import ask
from tracecore_lineage.bundle.reader import trace_bundle
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.trace.show import show
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput


def test_jobs_are_followed_through_each_other_in_both_directions(world: RecordWorld) -> None:
    record = take(world, job(1, "one", [dataset("a")], [dataset("b")]), job(2, "two", [dataset("b", "7")], [dataset("c")]))
    whole = [
        ("etl/one", "input", lake("a")),
        ("etl/one", "output", lake("b")),
        ("etl/two", "input", lake("b", "7")),
        ("etl/two", "output", lake("c")),
    ]
    assert edges(record.impact(lake("a"))) == edges(record.trace(lake("c"))) == whole
    assert edges(record.trace(lake("a"))) == edges(record.impact(lake("c"))) == []
    assert edges(record.query(show, lake("b"), workspace=record.workspace)) == whole


def test_a_static_edge_makes_no_version_and_reads_none(world: RecordWorld) -> None:
    """The stated writer is not the producer of what a run reads later, nor is the stated reader a consumer of what a run made."""
    record = take(
        world,
        job(1, "stated", [dataset("x", "1")], [dataset("t", "3")]),
        run(1, 2, "real", [dataset("y", "1")], [dataset("t", "3")]),
        run(2, 3, "use", [dataset("t", "3")], [dataset("m", "1")]),
    )
    trace = record.trace(lake("m", "1"))
    assert refs(trace) == {lake("m", "1"), lake("t", "3"), lake("y", "1")}
    assert edges(trace) == [("etl/stated", "input", lake("x", "1")), ("etl/stated", "output", lake("t", "3"))]
    assert refs(record.impact(lake("x", "1"))) == {lake("x", "1")}


def test_a_stated_reader_without_a_run_is_a_gap_and_one_with_a_run_is_none(world: RecordWorld) -> None:
    stated = job(1, "use", [dataset("a")], [dataset("b")])
    record = take(world, stated, run(1, 2, "make", [], [dataset("a", "1")]))
    assert [gap["missing"] for gap in record.impact(lake("a", "1"))["gaps"]] == ["reading run"]
    record = take(world, run(2, 3, "use", [dataset("a", "1")], [dataset("b", "1")]))
    assert record.impact(lake("a", "1"))["complete"]


def test_a_dataset_event_answers_and_its_column_lineage_is_static(world: RecordWorld) -> None:
    columns = {"fields": {"x": {"inputFields": [{"namespace": "lake", "name": "src", "field": "x"}]}}}
    record = take(world, event(1, dataset=dataset("view", "1", columnLineage=columns)))
    assert record.query(show, lake("view", "1"), workspace=record.workspace)["facets"]["columnLineage"] == columns
    assert edges(record.trace(lake("view", "1"))) == [(None, "input", lake("src")), (None, "output", lake("view", "1"))]
    assert edges(record.impact(lake("src"))) == edges(record.trace(lake("view", "1")))
    assert not record.impact(lake("src"))["complete"]
    assert record.trace(lake("view", "1"))["static"][0]["role"] == "column"


def test_the_symlinks_of_static_events_join_names(world: RecordWorld) -> None:
    alias = {"identifiers": [{"namespace": "s3", "name": "/wh/t", "type": "LOCATION"}]}
    path = {"namespace": "s3", "name": "/wh/t", "facets": dataset("", "1")["facets"]}
    record = take(
        world,
        event(3, dataset=dataset("t", None, symlinks=alias)),
        run(1, 1, "write", [dataset("seed", "1")], [path]),
        run(2, 2, "read", [dataset("t", "1")], [dataset("m", "1")]),
        job(4, "stated", [dataset("t")], [dataset("n")]),
    )
    assert lake("m", "1") in refs(record.impact(lake("seed", "1")))
    assert edges(record.impact("external/s3/%2Fwh%2Ft@1"))[0] == ("etl/stated", "input", lake("t"))


def test_a_dataset_event_drops_and_renames_at_its_time(world: RecordWorld) -> None:
    made = run(1, 1, "make", [dataset("seed", "1")], [dataset("t")])
    dropped = event(2, dataset=dataset("t", None, lifecycleStateChange={"lifecycleStateChange": "DROP"}))
    read = run(2, 3, "read", [dataset("t")], [dataset("m", "1")])
    previous = {"lifecycleStateChange": "RENAME", "previousIdentifier": {"namespace": "lake", "name": "old"}}
    renamed = event(2, dataset=dataset("new", None, lifecycleStateChange=previous))
    record = take(world, read, dropped, made)
    assert lake("m", "1") not in refs(record.impact(lake("seed", "1")))
    assert "dropped" in record.trace(lake("m", "1"))["gaps"][0]["why"]
    record = take(
        world, renamed, run(3, 1, "make", [dataset("other", "1")], [dataset("old")]), run(4, 3, "read", [dataset("new")], [dataset("n", "1")])
    )
    assert lake("n", "1") in refs(record.impact(lake("other", "1")))


def test_a_job_that_is_stated_to_drop_a_dataset_dropped_it_at_no_time(world: RecordWorld) -> None:
    gone = dataset("t", None, lifecycleStateChange={"lifecycleStateChange": "DROP"})
    record = take(
        world,
        run(1, 1, "make", [dataset("seed", "1")], [dataset("t")]),
        job(2, "clean", [], [gone]),
        run(2, 3, "read", [dataset("t")], [dataset("m", "1")]),
    )
    assert lake("m", "1") in refs(record.impact(lake("seed", "1")))
    assert "lifecycleStateChange" not in record.query(show, lake("t"), workspace=record.workspace)["facets"]


def test_a_static_statement_about_ours_adds_no_version(world: RecordWorld) -> None:
    world.ingest("north")
    slug = world.record.recorder.namespace
    known = world.made["drives.frames"].ref
    before = world.record.trace(known)
    theirs = {"namespace": slug, "name": "model/evil", "facets": {"version": {**FACET, "datasetVersion": f"sha256:{'1' * 64}"}}}
    ours = {"namespace": slug, "name": known.partition("@")[0], "facets": {"version": {**FACET, "datasetVersion": f"sha256:{known[-64:]}"}}}
    record = take(world, job(1, "evil", [dataset("x")], [theirs, ours]), event(2, dataset=theirs))
    with pytest.raises(Exception, match="not in this part of the record"):
        record.query(show, "model/evil", workspace=record.workspace)
    after = record.trace(known)
    assert {**after, "claims": [], "position": 0} == {**before, "position": 0}
    assert [(claim["job"], claim["says"]) for claim in after["claims"]] == [("etl/evil", "made this version")]


def test_the_order_of_arrival_does_not_matter(world: RecordWorld, tmp_path_factory: pytest.TempPathFactory) -> None:
    events = [
        job(1, "one", [dataset("a", "1")], [dataset("b")]),
        job(2, "one", [dataset("a", "2")], [dataset("b")]),
        run(1, 3, "two", [dataset("b")], [dataset("c", "1")]),
    ]
    answers = []
    for order in itertools.permutations(events):
        record = take(RecordWorld.at(tmp_path_factory.mktemp("order") / ".tracecore"), *order)
        answers.append([{**ask(ref), "position": 0} for ask in (record.trace, record.impact) for ref in (lake("a", "1"), lake("b"), lake("c", "1"))])
        for node in (node for answer in answers[-1] for node in answer["nodes"]):
            node["recorded_at"] = None
    assert all(answer == answers[0] for answer in answers)


def test_a_bundle_brings_the_static_lineage_of_its_build(tmp_path: Path) -> None:
    vendor = bundle_world.world(tmp_path / ".tracecore").all()
    read = RunInput("calibration", replace(artifact("external", "t", "", namespace="lake"), digest="1"))
    vendor.run("engine", StageKind.COMPILE, [("model", "model")], {"engine": vendor.made["engine"]}, more_inputs=[read])
    assert not vendor.record.ingest([job(1, "one", [dataset("a")], [dataset("t", "1")]), job(1, "two", [dataset("b")], [dataset("a")])]).refused
    vendor.seal()
    export_bundle(vendor.record.recorder, "build/demo", tmp_path / "demo.bundle")
    assert edges(trace_bundle(tmp_path / "demo.bundle")) == edges(vendor.record.trace("build/demo")) != []


def test_show_of_a_job_gives_its_runs_facets_and_static_lineage(world: RecordWorld) -> None:
    record = take(world, job(1, "one", [dataset("a")], [], sql={"query": "select 1"}), run(1, 2, "one", [dataset("a", "1")]))
    answer = record.query(show, "job/etl/one", workspace=record.workspace)
    assert [use["run"] for use in answer["runs"]] == [f"{RUN}1"]
    assert (answer["facets"], edges(answer)) == ({"sql": {"query": "select 1"}}, [("etl/one", "input", lake("a"))])


def test_trees_pages_and_graphql_mark_static_lineage(world: RecordWorld) -> None:
    take(world, job(1, "one", [dataset("a")], [dataset("b")]))
    place = ["--workspace", str(world.record.workspace.root)]
    sentence = "job etl/one is stated to make external/lake/b@unversioned from external/lake/a@unversioned; no run says so"
    for command in (["trace", lake("b")], ["impact", lake("a")], ["show", lake("a")], ["show", "job/etl/one"]):
        told = CliRunner().invoke(cli, [*command, *place], prog_name="tracecore")
        assert (told.exit_code, sentence in told.stdout) == (0, True), told.output
    [read, written] = ask(world.record, document("impact"), {"ref": lake("a")}).body["data"]["impact"]["static"]
    assert (read["job"], read["direction"], read["ref"], written["direction"]) == ("etl/one", "input", lake("a"), "output")
