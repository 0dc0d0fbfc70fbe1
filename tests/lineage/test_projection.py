"""One event gives the same rows whenever and wherever it is projected, and what is not an event gives none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openlineage_data import airflow_events, marquez_events

from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.events.parse import BadEvent, parse_event
from tracecore_lineage.model.ledger_name import LedgerName

WORLD = LedgerName("world", "0" * 32)
RUN = "01a2040f-4186-711d-8e71-4ae6d5de555d"
HEX = "1" * 64


def facet(**members: Any) -> dict[str, Any]:
    return {"_producer": "urn:test", "_schemaURL": "urn:test:1", **members}


def event(**members: Any) -> dict[str, Any]:
    return {"eventTime": "2026-11-22T15:39:45Z", "producer": "urn:test", "schemaURL": "urn:schema", **members}


def run_event(home: str = "theirs", **members: Any) -> dict[str, Any]:
    said = {"producer": WORLD.producer} if home == "world" else {}
    return event(**{**said, "eventType": "COMPLETE", "run": {"runId": RUN}, "job": {"namespace": home, "name": "job"}, **members})


def dataset(name: str, version: str | None = None, namespace: str = "world", **members: Any) -> dict[str, Any]:
    facets = {} if version is None else {"version": facet(datasetVersion=version)}
    return {"namespace": namespace, "name": name, "facets": {**facets, **members.pop("facets", {})}, **members}


def change(what: str, previous: str | None = None, namespace: str = "world") -> dict[str, Any]:
    renamed = {} if previous is None else {"previousIdentifier": {"namespace": namespace, "name": previous}}
    return {"lifecycleStateChange": facet(lifecycleStateChange=what, **renamed)}


def alias(name: str, namespace: str = "world") -> dict[str, Any]:
    return {"symlinks": facet(identifiers=[{"namespace": namespace, "name": name, "type": "TABLE"}])}


def rows(found: dict[str, Any], table: str, seq: int = 3) -> list[dict[str, Any]]:
    return [dict(row.values) for row in project(json.dumps(found).encode(), seq, WORLD) if row.table.__tablename__ == f"catalog_{table}"]


def refs(found: dict[str, Any]) -> list[str]:
    return [row["ref"] for row in rows(found, "edge")]


def test_a_run_event_says_its_state_job_and_parent() -> None:
    parent = facet(run={"runId": "01A2040F-0000-711D-8E71-4AE6D5DE555D"}, job={"namespace": "theirs", "name": "dag"})
    (row,) = rows(run_event(eventTime="2026-11-22T16:39:45.5+01:00", run={"runId": RUN.upper(), "facets": {"parent": parent}}), "run_event")
    assert (row["run_id"], row["event_type"], row["event_time"]) == (RUN, "COMPLETE", "2026-11-22T15:39:45.500000Z")
    assert (row["job_namespace"], row["job_name"], row["parent_run_id"], row["seq"]) == ("theirs", "job", "01a2040f-0000-711d-8e71-4ae6d5de555d", 3)


def test_a_run_event_without_a_type_is_another_event_of_its_run() -> None:
    found = run_event()
    del found["eventType"]
    assert [row["event_type"] for row in rows(found, "run_event")] == ["OTHER"]


def test_our_datasets_are_artifacts_and_others_are_externals() -> None:
    assert refs(run_event("world", outputs=[dataset("dataset/demo.frames", f"sha256:{HEX}")])) == [f"dataset/demo.frames@{HEX}"]
    assert refs(run_event("world", outputs=[dataset("drive_log/a%2Fb", f"sha256:{HEX}")])) == [f"drive_log/a%2Fb@{HEX}"]
    other = dataset("dataset/demo.frames", f"sha256:{HEX}", "other")
    assert refs(run_event(outputs=[other])) == [f"external/other/dataset%2Fdemo.frames@sha256:{HEX}"]
    assert refs(run_event(outputs=[dataset("dataset/demo.frames", "7")])) == ["external/world/dataset%2Fdemo.frames@7"]
    assert refs(run_event(outputs=[dataset("vehicle/x", f"sha256:{HEX}")])) == [f"external/world/vehicle%2Fx@sha256:{HEX}"]
    assert refs(run_event(inputs=[dataset("s3://bucket/table", "v 1", "aws")])) == ["external/aws/s3%3A%2F%2Fbucket%2Ftable@v%201"]


def test_a_dataset_without_a_version_is_named_by_its_run_as_output_and_unversioned_as_input() -> None:
    found = run_event(inputs=[dataset("a", None, "db")], outputs=[dataset("b", None, "db")])
    assert refs(found) == ["external/db/a@unversioned", f"external/db/b@run:{RUN}"]
    assert [row["digest"] for row in rows(found, "edge")] == [None, None]


def test_an_edge_knows_its_role_and_the_run_it_was_taken_from() -> None:
    port = {"tracecore_port": facet(role="frames", producer_run=RUN)}
    (edge,) = rows(run_event("world", inputs=[dataset("dataset/x", f"sha256:{HEX}", inputFacets=port)]), "edge")
    assert (edge["role"], edge["producer_run"], edge["direction"], edge["ordinal"], edge["digest"]) == ("frames", RUN, "input", 0, f"sha256:{HEX}")
    assert (edge["kind"], edge["name"]) == ("dataset", "x")


def test_facets_belong_to_run_job_and_version() -> None:
    found = run_event(
        "world",
        run={"runId": RUN, "facets": {"nominalTime": facet(nominalStartTime="x")}},
        job={"namespace": "world", "name": "a/b", "facets": {"sql": facet(query="SELECT 1")}},
        outputs=[dataset("dataset/x", f"sha256:{HEX}", facets={"schema": facet(fields=[])}, outputFacets={"outputStatistics": facet(rowCount=1)})],
    )
    subjects = {(row["subject"], row["name"]) for row in rows(found, "facet")}
    assert subjects == {
        (f"run:{RUN}", "nominalTime"), ("job:world/a/b", "sql"), (f"dataset/x@{HEX}", "schema"), (f"dataset/x@{HEX}", "outputStatistics"),
    }  # fmt: skip


def test_a_facet_keeps_integers_that_a_double_cannot_hold() -> None:
    (row,) = rows(run_event(run={"runId": RUN, "facets": {"clock": facet(ns=2**63 - 1)}}), "facet")
    assert json.loads(row["value"])["ns"] == 2**63 - 1


def test_a_version_described_twice_in_one_event_has_one_row_whatever_the_order() -> None:
    one, two = (dataset("dataset/x", f"sha256:{HEX}", facets={"note": facet(text=text)}) for text in "ab")
    found = [rows(run_event("world", inputs=inputs), "facet") for inputs in ([one, two], [two, one])]
    assert [[json.loads(row["value"])["text"] for row in each] for each in found] == [["b"], ["b"]]


def test_a_job_event_and_a_dataset_event_say_facets_and_static_edges_alone() -> None:
    job = event(job={"namespace": "n", "name": "j", "facets": {"sql": facet()}}, inputs=[dataset("a", None, "db", facets={"schema": facet()})])
    assert {row.table.__tablename__ for row in project(json.dumps(job).encode(), 0, WORLD)} == {"catalog_facet", "catalog_edge"}
    assert {row["subject"] for row in rows(job, "facet")} == {"job:n/j", "external/db/a@unversioned"}
    assert [(row["run_id"], row["direction"], row["ref"]) for row in rows(job, "edge")] == [("job:n/j", "reads", "external/db/a@unversioned")]
    static = event(dataset=dataset("t", "1", "db", facets={"schema": facet()}))
    assert [(row["run_id"], row["direction"]) for row in rows(static, "edge")] == [("dataset:db/t", "stated")]
    assert [row["subject"] for row in rows(static, "facet")] == ["external/db/t@1"]


DROPPED_ALIAS = dataset("t", None, "db", facets={**change("DROP"), **alias("model/m")})


@pytest.mark.parametrize(
    ("members", "subject", "version", "says"),
    [
        ({"outputs": [dataset("model/m", f"sha256:{HEX}")]}, "model/m", HEX, "made this version"),
        ({"outputs": [dataset("model/m", "7")]}, "model/m", "", "made a version of it, '7'"),
        ({"outputs": [dataset("model/m")]}, "model/m", "", "made a version of it, without its digest"),
        ({"outputs": [dataset("model/m", facets=change("DROP"))]}, "model/m", "", "dropped it"),
        ({"inputs": [dataset("model/m", facets=change("TRUNCATE"))]}, "model/m", "", "emptied it"),
        ({"outputs": [dataset("t", None, "db", facets=change("RENAME", "model/m"))]}, "model/m", "", "renamed it to external/db/t"),
        ({"outputs": [dataset("model/m", facets=change("RENAME", "t", "db"))]}, "model/m", "", "renamed external/db/t to it"),
        ({"outputs": [dataset("t", "1", "db", facets=alias("model/m"))]}, "model/m", "", "made a version of it, '1', under the name external/db/t"),
        (
            {"outputs": [dataset("t", facets={**change("DROP"), **alias("model/m")}, namespace="db")]},
            "model/m",
            "",
            "dropped it, under the name external/db/t",
        ),
        ({"outputs": [dataset("bug/b")]}, "bug/b", "", "made a version of it, without its digest"),
    ],
)
def test_what_a_stranger_says_of_an_artifact_but_that_it_was_read_is_a_claim(members: dict[str, Any], subject: str, version: str, says: str) -> None:
    stranger = run_event(**members)
    (claim,) = rows(stranger, "claim")
    assert (claim["subject"], claim["version"], claim["says"], claim["job"]) == (subject, version, says, "theirs/job")
    assert not [row for row in rows(stranger, "edge") if row["direction"] == "output" and not row["ref"].startswith("external/")]
    assert not [row for row in rows(stranger, "facet") if row["subject"].startswith("model/")], "no name and no change of ours"
    assert rows(run_event("world", **members), "claim") == []


def test_a_reading_by_an_alias_is_no_claim() -> None:
    assert rows(run_event(inputs=[dataset("t", "1", "db", facets=alias("model/m"))]), "claim") == []


def test_only_the_workspaces_own_jobs_give_staleness_keys_checks_and_builds() -> None:
    check = facet(name="c", of_run=RUN, target=f"dataset/x@{HEX}", severity="warn", success=True, message="m", details={}, unknowns=[])
    build = facet(name="b", ref=f"build/b@{HEX}", position=3, content_digest=f"sha256:{HEX}", envelope={"payload": ""}, program=f"program/p@{HEX}")
    run = {"runId": RUN, "facets": {"tracecore_execution": facet(key=f"sha256:{HEX}"), "tracecore_check": check, "tracecore_build": build}}
    assert [len(rows(run_event("world", run=run), table)) for table in ("staleness", "check", "build")] == [1, 1, 1]
    assert [len(rows(run_event("theirs", run=run), table)) for table in ("staleness", "check", "build")] == [0, 0, 0]
    started = run_event("world", run=run, eventType="START")
    assert [len(rows(started, table)) for table in ("staleness", "check", "build")] == [0, 0, 0]


def test_a_facet_of_ours_that_lacks_a_member_is_refused() -> None:
    run = {"runId": RUN, "facets": {"tracecore_check": facet(name="c")}}
    with pytest.raises(BadEvent, match="expected 'success' as bool"):
        rows(run_event("world", run=run), "check")


def test_projecting_twice_gives_the_same_rows_apart_from_seq() -> None:
    body = json.dumps(run_event(inputs=[dataset("a", "1", "db")], outputs=[dataset("dataset/x", f"sha256:{HEX}")])).encode()

    def bare(found: list[Row]) -> list[Any]:
        return [(row.table, {name: value for name, value in row.values.items() if name != "seq"}) for row in found]

    assert bare(project(body, 0, WORLD)) == bare(project(body, 7, WORLD))


def test_events_of_airflow_and_marquez_are_read() -> None:
    airflow, marquez = airflow_events(), marquez_events()
    assert (len(airflow), len(marquez)) == (32, 26)
    for body in (*airflow, *marquez):
        assert {row.table.__tablename__ for row in project(body, 0, WORLD)} >= {"catalog_run_event"}
    edges = [row.values for body in marquez for row in project(body, 0, WORLD) if "direction" in row.values]
    assert {edge["ref"].split("@")[1][:4] for edge in edges if edge["direction"] == "output"} == {"run:"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "expected JSON"),
        (b"[]", "a JSON object, found a list"),
        (b"7", "a JSON object, found 7"),
        (b"\xff", "is not UTF-8"),
        (b"{}", "expected a text 'eventTime', found none"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e400}', "too large for a double"),
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"a": "\\u0000"}', r"without U\+0000"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "expected JSON"),
    ],
)
def test_bytes_that_could_be_read_in_two_ways_are_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadEvent, match=why):
        parse_event(body)


def test_a_text_that_only_looks_like_a_nul_is_kept() -> None:
    found = run_event(run={"runId": RUN, "facets": {"note": facet(text="\\u0000")}})
    assert json.loads(rows(found, "facet")[0]["value"])["text"] == "\\u0000"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (run_event(eventTime="yesterday"), "eventTime: expected an RFC 3339 time"),
        (run_event(eventTime="2026-11-22T15:39:45"), "eventTime: expected an RFC 3339 time with an offset"),
        (run_event(eventTime=7), "expected a text 'eventTime', found 7"),
        (run_event(producer=None), "expected a text 'producer'"),
        (run_event(eventType="DONE"), "eventType: expected one of ABORT, COMPLETE"),
        (run_event(run={"runId": "run-1"}), "run.runId: expected a UUID, found 'run-1'"),
        (run_event(run={"runId": f"{{{RUN}}}"}), "run.runId: expected a UUID"),
        (run_event(run=[]), "expected an object 'run'"),
        (run_event(job={"namespace": "n"}), "job: expected a text 'name'"),
        (event(run={"runId": RUN}), "expected an object 'job'"),
        (event(), "expected a run, a job or a dataset"),
        (run_event(inputs={}), "inputs: expected a list of datasets, found an object"),
        (run_event(inputs=["x"]), r"inputs\[0\]: expected a dataset"),
        (run_event(outputs=[{"name": "x"}]), r"outputs\[0\]: expected a text 'namespace'"),
        (run_event(outputs=[dataset("x", facets={"version": facet(datasetVersion=7)})]), r"version: expected a text 'datasetVersion', found 7"),
        (run_event(run={"runId": RUN, "facets": []}), "run.facets: expected facets by name"),
        (run_event(run={"runId": RUN, "facets": {"a": 1}}), "run.facets.a: expected a facet"),
        (run_event(run={"runId": RUN, "facets": {"a": {"_producer": "p"}}}), "run.facets.a: expected a text '_schemaURL'"),
        (event(dataset="x"), "dataset: expected a dataset"),
    ],
)  # fmt: skip
def test_what_is_no_openlineage_event_is_refused_with_its_reason(found: dict[str, Any], why: str) -> None:
    with pytest.raises(BadEvent, match=why):
        parse_event(json.dumps(found).encode())
