"""Labelers are nodes of the record: what they labeled is where the forward walk starts, and a pseudonym is all that is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from rich.console import Console
from sqlalchemy import text
from stored_world import StoredWorld, kept

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.model import rfc3339
from tracecore_lineage.present.graph import dot, mermaid
from tracecore_lineage.present.tree import draw
from tracecore_lineage.trace.show import show
from tracecore_schemas.kinds import StageKind


def names(trace: object) -> list[str]:
    return [node["ref"].partition("@")[0] for node in trace["nodes"]]  # type: ignore[index]


def drawn(trace: object) -> str:
    console = Console(width=300, force_terminal=False)
    with console.capture() as captured:
        console.print(draw(trace))  # type: ignore[arg-type]
    return captured.get()


def campaign(world: RecordWorld) -> RecordWorld:
    """A build sealed on labels that w1 and w2 made."""
    world.ingest("north")
    world.curate()
    world.campaign("w1", "w2", reviewed_share=0.1, agreed_share=0.96)
    world.train()
    world.compile()
    world.seal()
    return world


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordWorld]:
    """A labeled program, made once for the tests that only ask."""
    made = campaign(RecordWorld.at(tmp_path_factory.mktemp("labeled") / "workspace"))
    yield made
    made.record.close()


def test_a_labeler_reaches_the_builds_that_stand_on_their_labels_and_builds_stand_first(labeled: RecordWorld) -> None:
    answer = labeled.record.impact("labeler/w2")
    assert (answer["root"], answer["direction"]) == ("labeler/w2", "forward")
    assert names(answer) == ["build/demo", "labeler/w2", "label_batch/demo.labels", "model/demo.model", "engine/demo.engine"]
    node = next(node for node in answer["nodes"] if node["ref"] == "labeler/w2")
    assert (node["kind"], node["name"], node["digest"], node["run"]) == ("labeler", "w2", None, None)
    run = labeled.runs["labels"]
    assert {"run": run, "ref": "labeler/w2", "direction": "input", "role": "labeler", "inferred": False} in answer["edges"]
    assert answer.keys() == labeled.record.trace("build/demo").keys()


def test_another_labeler_and_another_batch_are_kept_apart(world: RecordWorld) -> None:
    labeled = campaign(world)
    first = labeled.made["labels"].ref
    labeled.campaign("w2", "w3", content="second campaign")
    second = labeled.made["labels"].ref
    reached = {name: {node["ref"] for node in labeled.record.impact(f"labeler/{name}")["nodes"]} & {first, second} for name in ("w1", "w2", "w3")}
    assert reached == {"w1": {first}, "w2": {first, second}, "w3": {second}}
    assert not any(ref.startswith("build/") for ref in names(labeled.record.impact("labeler/w3")))


def test_a_pseudonym_is_matched_whole_whatever_letters_it_has(world: RecordWorld) -> None:
    world.ingest("north")
    world.campaign("w10", "W1", "w_1", 'o"1', "50%")
    for name in ("w10", "W1", "w_1", "o%221", "50%25"):
        assert world.record.impact(f"labeler/{name}")["nodes"][0]["ref"] == f"labeler/{name}"
    for name in ("w1", "w", "wx1", "50"):
        with pytest.raises(UsageError, match="is not in this part of the record"):
            world.record.impact(f"labeler/{name}")


def test_an_unknown_labeler_is_one_sentence_with_the_nearest_right_one(labeled: RecordWorld) -> None:
    for question in (labeled.record.impact, labeled.record.trace, lambda ref: labeled.record.query(show, ref)):
        with pytest.raises(UsageError) as caught:
            question("labeler/w22")
        assert str(caught.value) == "labeler/w22 is not in this part of the record. Did you mean 'labeler/w2'?"
    with pytest.raises(UsageError, match=r"Did you mean 'labeler/w2'\?"):
        labeled.record.impact("labler/w2")
    with pytest.raises(UsageError, match=r"Its label batches name w1, w2\.$"):
        labeled.record.impact("labeler/somebody-else")


def test_a_record_whose_labels_name_nobody_says_so(sealed: RecordWorld) -> None:
    with pytest.raises(UsageError, match="no label batch in it names its labelers"):
        sealed.record.impact("labeler/w1")


def test_as_of_a_time_before_the_campaign_the_labeler_is_unknown(world: RecordWorld) -> None:
    world.ingest("north")
    before = rfc3339.now()
    world.campaign("w1")
    assert world.record.impact("labeler/w1")["nodes"]
    with pytest.raises(UsageError, match="names its labelers"):
        world.record.impact("labeler/w1", as_of=before)


def test_a_depth_counts_the_labeling_as_a_level_and_says_what_it_cut(labeled: RecordWorld) -> None:
    assert [names(labeled.record.impact("labeler/w1", depth=depth)) for depth in (0, 1, 2)] == [
        ["labeler/w1"],
        ["labeler/w1", "label_batch/demo.labels"],
        ["build/demo", "labeler/w1", "label_batch/demo.labels", "model/demo.model"],
    ]
    assert [labeled.record.impact("labeler/w1", depth=depth)["truncated"] for depth in (0, 1, 2, 9)] == [True, True, True, False]


def test_a_trace_ends_at_who_labeled_without_a_gap(labeled: RecordWorld) -> None:
    trace = labeled.record.trace("labeler/w1")
    assert (names(trace), trace["complete"], trace["gaps"], trace["runs"]) == (["labeler/w1"], True, [], [])
    assert "tracecore impact labeler/w1" in trace["note"]


def test_the_trace_of_a_build_names_labelers_and_draws_the_batch_by_its_recorded_summary(labeled: RecordWorld) -> None:
    trace = labeled.record.trace("build/demo")
    facet = next(node["facets"]["tracecore_labels"] for node in trace["nodes"] if node["kind"] == "label_batch")
    assert facet["labelers"] == ["w1", "w2"]
    assert f"   {facet['summary']}" in drawn(trace)


def test_diagrams_draw_the_labeler_before_the_labeling(labeled: RecordWorld) -> None:
    answer = labeled.record.impact("labeler/w1")
    place = [node["ref"] for node in answer["nodes"]].index("labeler/w1")
    run = [run["job"] for run in answer["runs"]].index("demo.labels")
    assert f'n{place}["labeler/w1"]' in mermaid(answer)
    assert f'n{place} -->|"labeler"| r{run}' in mermaid(answer)
    assert f'n{place} -> r{run} [label="labeler"]' in dot(answer)


def test_show_counts_the_labels_that_are_theirs_in_each_batch(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace")
    for number, who in enumerate((["w1", "w1", "w2"], ["w2", "w2", "w2"])):
        rows = pa.table({"drive": ["north"] * 3, "label_id": [f"{number}{place}" for place in range(3)], "labeler": who})
        facet = {"boxes": 3, "frames": 1, "categories": {}, "labelers": sorted(set(who)), "guidelines": [f"v{number}"]}
        batch = kept("label_batch", "demo.labels", world.table("demo.labels", rows), facets={"tracecore_labels": facet})
        world.run("labels", StageKind.LABEL, outputs={"labels": batch})
    shown = world.record.query(show, "labeler/w2", workspace=world.record.workspace)
    assert (shown["kind"], shown["digest"], shown["guidelines"]) == ("labeler", None, ["v0", "v1"])
    assert [(batch["ref"] == world.made["labels"].ref, batch["labels"], batch["labelers"]) for batch in shown["batches"]] == [
        (True, 3, 1),
        (False, 1, 2),
    ]
    world.ingest("north")
    world.campaign("w2", content="known by its digest alone")
    assert world.record.query(show, "labeler/w2", workspace=world.record.workspace)["batches"][0]["labels"] is None
    printed = CliRunner().invoke(cli, ["show", "labeler/w2", "--workspace", str(world.record.workspace.root)]).stdout.splitlines()
    assert printed[0] == "labeler/w2   3 batches · guideline v0, v1, v3"
    assert "not counted" in printed[2]
    assert "3 labels by them · one of 1 labeler · guideline v1" in printed[3]
    world.record.close()


def test_a_thousand_labelers_in_many_batches_are_looked_up_by_an_index(world: RecordWorld) -> None:
    world.ingest("north")
    everybody = [f"w{number:04}" for number in range(1000)]
    for number in range(20):
        world.campaign(*everybody[number * 50 : number * 50 + 100], content=f"batch {number}")
    assert len([name for name in names(world.record.impact("labeler/w0475")) if name.startswith("label_batch/")]) == 2
    query = "EXPLAIN QUERY PLAN SELECT subject FROM catalog_facet WHERE name = 'tracecore_labels' AND seq < 9999 AND value LIKE '%x%'"
    with world.record.database.read() as connection:
        assert "ix_catalog_facet_name" in str(connection.execute(text(query)).all())


def test_nobody_else_says_who_labeled_a_batch_of_ours(world: RecordWorld) -> None:
    labeled = campaign(world)
    ref = labeled.made["labels"].ref
    facet = {"_producer": "urn:other", "_schemaURL": "urn:other:1", "boxes": 1, "frames": 1, "categories": {}, "labelers": ["mallory"]}
    version = {"_producer": "urn:other", "_schemaURL": "urn:other:1", "datasetVersion": f"sha256:{ref.partition('@')[2]}"}
    said = {
        "namespace": labeled.record.recorder.namespace,
        "name": "label_batch/demo.labels",
        "facets": {"version": version, "tracecore_labels": facet},
    }
    event = {"eventTime": rfc3339.now(), "producer": "urn:other", "schemaURL": "urn:other:event", "dataset": said}
    assert labeled.record.ingest([event]).recorded == 1
    with pytest.raises(UsageError):
        labeled.record.impact("labeler/mallory")
    assert labeled.record.impact("labeler/w1")["nodes"]


def test_a_batch_of_another_producer_is_reached_through_its_own_run(world: RecordWorld) -> None:
    facet = {"_producer": "urn:o", "_schemaURL": "urn:o:1", "boxes": 1, "frames": 1, "categories": {}, "labelers": ["x7"]}
    version = {"_producer": "urn:o", "_schemaURL": "urn:o:1", "datasetVersion": "v1"}
    run = "01a2040f-4186-711d-8e71-4ae6d5de555d"
    world.record.ingest(
        [
            {
                "eventTime": rfc3339.now(), "producer": "urn:o", "schemaURL": "urn:o:e", "eventType": "COMPLETE", "run": {"runId": run},
                "job": {"namespace": "theirs", "name": "label"},
                "outputs": [{"namespace": "theirs", "name": "labels", "facets": {"version": version, "tracecore_labels": facet}}],
            }
        ]
    )  # fmt: skip
    answer = world.record.impact("labeler/x7")
    assert [node["ref"] for node in answer["nodes"]] == ["labeler/x7", "external/theirs/labels@v1"]
