"""What GraphQL answers is what the record answers, node for node."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest

from tracecore_graphql.limits import Limits
from tracecore_graphql.named_queries import document
from tracecore_graphql.schema import ask
from tracecore_lineage import Record
from tracecore_lineage.seal.seal import sealed_build
from tracecore_lineage.trace.bugs import reported_bugs

OPAQUE = {"facets", "params", "later"}
"""JSON scalars: what stands below them is the record's own, and is not renamed."""


def snake(value: Any) -> Any:
    """Turn camelCase names back, outside of JSON scalars."""
    if isinstance(value, dict):
        return {re.sub("([A-Z])", lambda m: "_" + m[1].lower(), key): item if key in OPAQUE else snake(item) for key, item in value.items()}
    return [snake(item) for item in value] if isinstance(value, list) else value


def asked(record: Record, name: str, /, **variables: Any) -> Any:
    answer = ask(record, document(name), variables)
    assert answer.accepted
    assert "errors" not in answer.body
    return answer.body["data"][name]


def without_note(answer: Mapping[str, Any]) -> dict[str, Any]:
    """`note`, an edge's `made_by` and `use` and an `origin` are left out of the JSON answer where there is none, and null in GraphQL."""
    marked = {name: [without_origin(item) for item in answer[name]] for name in ("nodes", "runs")}
    edges = [{key: value for key, value in edge.items() if key not in {"made_by", "use"} or value is not None} for edge in answer["edges"]]
    return {key: value for key, value in {**answer, **marked, "edges": edges}.items() if key != "note" or value is not None}


def without_origin(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "origin" or value is not None}


@pytest.mark.parametrize("ref", ["build/demo", "engine/demo.engine", "dataset/demo.drives.frames", "drive_log/north", "dataset/demo.archive"])
def test_a_trace_is_the_records_trace_node_for_node(record: Record, ref: str) -> None:
    given = without_note(snake(asked(record, "trace", ref=ref)))
    assert given == without_note(record.trace(ref))
    assert given["nodes"]


def test_the_trace_of_a_build_has_its_facts(record: Record) -> None:
    given = asked(record, "trace", ref="build/demo")
    assert given["complete"] is True
    assert {"labeler", "time and place"} <= {unknown["what"] for unknown in given["unknowns"]}
    split = next(run for run in given["runs"] if run["job"] == "demo.training_set")
    assert {"name": "no_leak", "success": True, "severity": "warn"} in split["checks"]


def test_sizes_beyond_32_bits_parameters_and_rejection_come_through(record: Record) -> None:
    given = asked(record, "trace", ref="dataset/demo.archive")
    node = next(node for node in given["nodes"] if node["name"] == "demo.archive")
    assert (node["sizeBytes"], node["rows"], node["rejected"]) == (3 * 2**31, 3 * 2**31, True)
    run = next(run for run in given["runs"] if run["job"] == "demo.archive")
    assert run["params"] == {"share": 0.25}
    assert run["checks"] == [{"name": "not_empty", "success": False, "severity": "blocking"}]


def test_a_cut_trace_says_so_and_is_the_records_cut_trace(record: Record) -> None:
    given = asked(record, "trace", ref="build/demo", depth=1)
    assert given["truncated"] is True
    assert without_note(snake(given)) == without_note(record.trace("build/demo", depth=1))


def test_impact_is_the_records_impact_and_so_is_a_forward_trace(record: Record) -> None:
    expected = without_note(record.impact("drive_log/north"))
    assert without_note(snake(asked(record, "impact", ref="drive_log/north"))) == expected
    forward = document("trace").replace("trace(ref: $ref,", "trace(ref: $ref, direction: forward,")
    assert without_note(snake(ask(record, forward, {"ref": "drive_log/north"}).body["data"]["trace"])) == expected
    assert any(node["ref"].startswith("build/demo@") for node in expected["nodes"])


def test_a_bug_is_the_records_bug_by_its_id_or_ref(record: Record) -> None:
    [bug] = record.query(reported_bugs)
    for identity in (bug.id, bug.ref):
        assert snake(asked(record, "bug", id=identity)) == {**asdict(bug), "ref": bug.ref, "frames": list(bug.frames)}
    assert asked(record, "bug", id="000000000000") is None
    assert asked(record, "bug", id="no/such bug") is None


def test_bugs_and_labelers_are_walked_as_every_node(record: Record) -> None:
    [bug] = record.query(reported_bugs)
    assert without_note(snake(asked(record, "trace", ref=bug.ref))) == without_note(record.trace(bug.ref))
    assert without_note(snake(asked(record, "impact", ref="labeler/w1"))) == without_note(record.impact("labeler/w1"))
    node = asked(record, "trace", ref="labeler/w1")["nodes"][0]
    assert (node["kind"], node["digest"], node["name"]) == ("labeler", None, "w1")
    assert [entry["what"] for entry in asked(record, "trace", ref="build/demo")["later"]] == ["bug reported"]


def test_a_build_comes_with_its_signed_statement(record: Record) -> None:
    sealed = record.query(sealed_build, "demo")
    assert sealed
    given = asked(record, "build", name="demo")
    assert given == {
        "name": "demo",
        "ref": sealed.ref,
        "position": sealed.position,
        "contentDigest": sealed.content_digest,
        "statement": sealed.statement,
        "envelope": sealed.envelope,
    }
    assert asked(record, "build", name="build/demo") == given
    assert asked(record, "build", name="other") is None


def test_an_artifact_and_a_run_are_those_of_the_trace(record: Record) -> None:
    trace = record.trace("build/demo")
    assert len(trace["nodes"]) > 5 < len(trace["runs"])
    for node in trace["nodes"]:
        assert without_origin(snake(asked(record, "artifact", ref=node["ref"]))) == node
    for run in trace["runs"]:
        assert without_origin(snake(asked(record, "run", id=run["id"]))) == run


def test_plugins_are_those_that_recorded_runs_ran_each_version_by_itself(record: Record) -> None:
    nodes = [edge["node"] for edge in asked(record, "plugins")["edges"]]
    assert [(node["ref"], node["runs"], node["stages"]) for node in nodes] == [
        ("plugin/compile@0.1.0", 1, ["compile"]),
        ("plugin/curate@0.1.0", 1, ["curate"]),
        ("plugin/curate@0.2.0", 1, ["curate"]),
        ("plugin/ingest@0.1.0", 3, ["ingest"]),
        ("plugin/label@0.1.0", 2, ["label"]),
        ("plugin/train@0.1.0", 1, ["train"]),
    ]


def test_pages_of_a_connection_follow_each_other_without_hole_or_repetition(record: Record) -> None:
    seen: list[str] = []
    after = None
    while True:
        page = asked(record, "plugins", first=4, after=after)
        assert page["totalCount"] == 6
        seen += [edge["node"]["name"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ["compile", "curate", "curate", "ingest", "label", "train"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{trace(ref:"build/dem"){root}}', "Did you mean 'build/demo'?"),
        ('{trace(ref:"nonsense"){root}}', "is not a valid ref"),
        ('{artifact(ref:"run/0192d3c1-7e9a-7c4e-8c3c-0d6cf0a8a111"){ref}}', "does not name an artifact"),
        ('{artifact(ref:"dataset/demo.drives.frame"){ref}}', "Did you mean 'dataset/demo.drives.frames'?"),
        ('{trace(ref:"build/demo",asOf:"yesterday"){root}}', "'yesterday' is not a time"),
        ('{trace(ref:"build/demo",asOf:"9999-12-31T23:59:59-12:00"){root}}', "is not a time"),
        ('{trace(ref:"dataset/a\\u0000b"){root}}', "is not in this part of the record"),
        ('{trace(ref:"build/demo",depth:-1){root}}', "expected 0 or more, found -1"),
        ("{builds(first:501){totalCount}}", "'first' is 501; expected 0 to 500"),
        ("{builds(first:-1){totalCount}}", "'first' is -1"),
        ('{builds(after:"x"){totalCount}}', "'after' is not a cursor of this list"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_in_the_records_own_words(record: Record, text: str, sentence: str) -> None:
    answer = ask(record, text)
    assert answer.accepted
    assert sentence in answer.body["errors"][0]["message"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{buildz{totalCount}}", "Did you mean 'build' or 'builds'"),
        ("{builds(", "Syntax Error"),
        ("query A{builds{totalCount}} query B{builds{totalCount}}", "select one by 'operationName'"),
        ("mutation{a}", "A mutation is not accepted"),
        ("subscription{a}", "A subscription is not accepted"),
        ("fragment A on Query{builds{totalCount}}", "has no operation"),
        ("{...A} fragment A on Query{...A}", "'A' spreads itself"),
    ],
)
def test_a_document_that_is_no_question_is_refused(record: Record, text: str, sentence: str) -> None:
    answer = ask(record, text)
    assert not answer.accepted
    assert "data" not in answer.body
    assert any(sentence in error["message"] for error in answer.body["errors"]), answer.body


def test_one_failed_question_leaves_the_others_answered(record: Record) -> None:
    body = ask(record, '{a:trace(ref:"build/demo"){root} b:trace(ref:"build/none"){root}}').body
    assert body["data"]["a"]["root"].startswith("build/demo@")
    assert body["data"]["b"] is None
    assert [error["path"] for error in body["errors"]] == [["b"]]


def test_an_error_of_ours_is_masked_and_its_number_is_in_the_log(empty: Record, caplog: pytest.LogCaptureFixture) -> None:
    with empty.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE catalog_build")
    with caplog.at_level(logging.ERROR, "tracecore.graphql"):
        body = ask(empty, "{builds{totalCount}}").body
    message = body["errors"][0]["message"]
    assert "catalog_build" not in str(body) or "record" in message  # a database error is reported in the record's words, or masked
    assert "Traceback" not in str(body)


def test_when_the_time_is_over_no_further_question_is_begun(record: Record) -> None:
    body = ask(record, '{trace(ref:"build/demo"){root}}', limits=Limits(seconds=-1)).body
    assert "took too long" in body["errors"][0]["message"]


def test_variables_of_the_wrong_kind_are_refused(record: Record) -> None:
    answer = ask(record, document("trace"), {"ref": 7})
    assert not answer.accepted
    assert "String cannot represent a non string value" in answer.body["errors"][0]["message"]
