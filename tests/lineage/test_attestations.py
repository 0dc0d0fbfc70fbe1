"""SLSA provenance and test results of a build: in the shapes of their specifications, always the same bytes, and nothing else verifies."""

from __future__ import annotations

import base64
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld, real_input
from tracecore_lineage.commands.exchange import export_command as export
from tracecore_lineage.commands.verify import verify_command as verify
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_lineage.seal.attestations import PROVENANCE, TEST_RESULT, attestations, judge, statements
from tracecore_lineage.seal.key_events import rotate_key
from tracecore_lineage.seal.seal import sealed_build
from tracecore_schemas.build import GateOutcome, Waiver
from tracecore_schemas.kinds import StageKind

GATES = (
    GateOutcome("no_leak", True, False, 0, 0, "no frame is shared"),
    GateOutcome("recall.night", False, True, 0.5, 0.6, "recall.night is 0.5, required at least 0.6"),
)
WAIVER = Waiver("recall.night", "test track only", date(2027, 1, 31), "Ada Lovelace")


def said(world: RecordWorld) -> tuple[dict[str, Any], dict[str, Any]]:
    sealed = world.record.query(sealed_build, "demo")
    assert sealed is not None
    with world.record.database.read() as connection:
        return statements(connection, sealed, world.record.trace("build/demo"))


def payloads(world: RecordWorld) -> list[bytes]:
    sealed = world.record.query(sealed_build, "demo")
    assert sealed is not None
    return [base64.b64decode(envelope["payload"]) for envelope in attestations(world.record.recorder, sealed, world.record.trace("build/demo"))]


def members(specification: str) -> set[str]:
    """Names of the fields that a specification describes."""
    text = real_input("intoto", specification).read_text(encoding="utf-8")
    return set(re.findall(r"^\s*[`\"](\w+)[`\"]", text, re.MULTILINE))


def test_both_are_statements_whose_parts_are_those_that_the_specifications_describe(sealed: RecordWorld) -> None:
    provenance, results = said(sealed)
    assert set(results["predicate"]) <= members("test-result.md")
    assert {"result", "configuration"} <= set(results["predicate"])
    assert (provenance["predicateType"], results["predicateType"]) == (PROVENANCE, TEST_RESULT)
    for statement in (provenance, results):
        assert set(statement) == members("statement.md") & {"_type", "subject", "predicateType", "predicate"}
        descriptors = [*statement["subject"], *results["predicate"]["configuration"], *provenance["predicate"]["runDetails"]["byproducts"]]
        for each in [*descriptors, *provenance["predicate"]["buildDefinition"]["resolvedDependencies"]]:
            assert set(each) <= members("resource_descriptor.md")
            assert {"uri", "digest", "content"} & set(each)
    assert set(provenance["predicate"]) == {"buildDefinition", "runDetails"}
    assert set(provenance["predicate"]["buildDefinition"]) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert set(provenance["predicate"]["runDetails"]) == {"builder", "metadata", "byproducts"}


def test_provenance_names_what_the_build_holds_what_came_from_outside_and_the_plugins_that_ran(sealed: RecordWorld) -> None:
    provenance, _ = said(sealed)
    trace = sealed.record.trace("build/demo")
    held = {sealed.made[role].ref for role in ("engine", "labels", "model", "training_set.train")}
    assert {f"{each['name']}@{each['digest']['sha256']}" for each in provenance["subject"]} == held
    definition, details = provenance["predicate"]["buildDefinition"], provenance["predicate"]["runDetails"]
    named = {each["name"] for each in definition["resolvedDependencies"]}
    outside = {"program/demo", "drive_log/north", "drive_log/south", "external/file/labels.coco.json"}
    assert named - outside == {f"plugin/tracecore-{stage}@0.1.0" for stage in ("ingest", "curate", "label", "train", "compile")}
    assert outside <= named
    assert definition["externalParameters"]["build"] == "demo"
    assert [(each["job"], each["values"]) for each in definition["externalParameters"]["parameters"]] == [("demo.model", {"epochs": 1})]
    [release] = [run for run in trace["runs"] if run["job"] == "demo.release"]
    assert details["metadata"] == {"invocationId": f"run/{release['id']}", "startedOn": release["started_at"], "finishedOn": release["ended_at"]}
    assert details["builder"]["id"] == f"urn:tracecore:workspace:{sealed.record.ledger.origin.removeprefix('tracecore/')}"
    byproducts = {each["name"] for each in details["byproducts"]}
    assert byproducts == {"build/demo", "dataset/demo.drives.frames"}
    everything = {node["ref"].partition("@")[0] for node in trace["nodes"]}
    assert {each["name"] for each in provenance["subject"]} | outside | byproducts == everything


def test_a_waived_gate_is_warned_and_what_passed_is_passed(world: RecordWorld) -> None:
    world.all().seal(gates=GATES, waivers=(WAIVER,))
    predicate = said(world)[1]["predicate"]
    assert (predicate["result"], predicate["passedTests"], predicate["warnedTests"], predicate["failedTests"]) == (
        "WARNED",
        ["no_leak"],
        ["recall.night"],
        [],
    )


def test_a_dataset_without_a_digest_is_named_by_a_uri(world: RecordWorld) -> None:
    world.all()
    told = {"_producer": "urn:other", "_schemaURL": "urn:other:version"}
    event = {
        "eventTime": "2026-11-22T10:00:00.000000Z", "eventType": "COMPLETE", "producer": "urn:other", "schemaURL": "urn:other:event",
        "run": {"runId": "0199c1f4-8f0e-7a31-9c55-1b6a3f1f2a10"}, "job": {"namespace": "airflow", "name": "prepare"}, "inputs": [],
        "outputs": [{"namespace": "warehouse", "name": "drives", "facets": {"version": {**told, "datasetVersion": "v7"}}}],
    }  # fmt: skip
    world.record.ingest([event])
    from tracecore_schemas.kinds import Media
    from tracecore_schemas.run import Artifact, RunInput

    outside = RunInput("rows", Artifact("external", "drives", "v7", Media.NONE, namespace="warehouse"), None)
    world.run("model", StageKind.TRAIN, [("frames", "training_set.train")], {"model": world.made["model"]}, more_inputs=[outside])
    world.seal()
    dependencies = said(world)[0]["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"name": "external/warehouse/drives", "uri": "urn:tracecore:ref:external/warehouse/drives@v7"} in dependencies


def test_the_payloads_have_the_same_bytes_whatever_happened_since_and_whichever_key_signs(world: RecordWorld) -> None:
    world.all().seal()
    before = payloads(world)
    world.train("newer weights")
    report_bug(world.record.recorder, "a cyclist was missed", build="demo")
    rotate_key(world.record.recorder)
    world.seal("next")
    assert payloads(world) == before


def test_what_says_something_else_or_is_signed_by_nobody_known_is_named(sealed: RecordWorld) -> None:
    build = sealed.record.query(sealed_build, "demo")
    assert build is not None
    made, expected, keys = (
        attestations(sealed.record.recorder, build, sealed.record.trace("build/demo")),
        said(sealed),
        sealed.record.recorder.keys.public_keys(),
    )
    assert judge(made, expected, keys) == []
    stranger = PrivateKey.generate()
    assert [each.what for each in judge(made, expected, [stranger.public])] == ["signature of the provenance", "signature of the test results"]
    assert [each.what for each in judge(made[:1], expected, keys)] == ["attestations"]
    swapped = [made[1], made[0]]
    assert [each.what for each in judge(swapped, expected, keys)] == ["provenance", "test results"]
    malleable = made[0]["payload"][:-1] + "=" if not made[0]["payload"].endswith("=") else made[0]["payload"].rstrip("=") + "==="
    assert [each.expected for each in judge([{**made[0], "payload": malleable}, made[1]], expected, keys)] == ["a canonical DSSE envelope"]
    other = json.loads(base64.b64decode(made[1]["payload"]))
    other["predicate"]["passedTests"].append("a gate that never was")
    forged = {**made[1], "payload": base64.b64encode(json.dumps(other, separators=(",", ":"), sort_keys=True).encode()).decode()}
    assert [each.what for each in judge([made[0], forged], expected, keys)] == ["test results", "signature of the test results"]


def test_the_commands_write_them_a_line_each_and_verify_them_against_the_record(sealed: RecordWorld, tmp_path: Path) -> None:
    where = ["--workspace", str(sealed.record.workspace.root)]
    file = tmp_path / "demo.jsonl"
    done = CliRunner().invoke(export, ["build/demo", "--format", "slsa", "-o", str(file), *where], catch_exceptions=False)
    assert done.exit_code == 0
    lines = file.read_text(encoding="ascii").splitlines()
    assert [json.loads(base64.b64decode(json.loads(line)["payload"]))["predicateType"] for line in lines] == [PROVENANCE, TEST_RESULT]

    def failures(path: Path) -> set[str]:
        answer = CliRunner().invoke(verify, ["build/demo", "--attestations", str(path), "--json", *where], catch_exceptions=False)
        return {each["what"] for each in json.loads(answer.stdout)["failures"] if each["ref"].startswith("build/")}

    assert failures(file) == set()
    file.write_text(f"{lines[1]}\n{lines[0]}\n", encoding="ascii")
    assert failures(file) == {"provenance", "test results"}


@pytest.mark.parametrize(("text", "told"), [("[]", "is not an envelope: expected what"), ("{", "is not JSON"), ('{"a": NaN}', "is not JSON")])
def test_a_file_that_holds_no_attestations_is_refused(sealed: RecordWorld, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        sealed.record.verify("build/demo", attestations=tmp_path / "a.jsonl")


def test_attestations_are_about_a_build(sealed: RecordWorld, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="Attestations are about one build: name it"):
        sealed.record.verify(attestations=tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="is not a build: name the build"):
        sealed.record.verify(sealed.made["model"].ref, attestations=tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="can't be read: no such file"):
        sealed.record.verify("build/demo", attestations=tmp_path / "gone.jsonl")
