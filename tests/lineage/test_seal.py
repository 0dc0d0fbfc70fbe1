"""Sealing: one name, one content, for ever; signed, bound to its place in the ledger, and right under competition."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tracecore.errors import RunFailed, UsageError
from tracecore.testing.worlds import PROGRAM, RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.catalog.pseudonyms import person_of
from tracecore_lineage.crypto import notes
from tracecore_lineage.crypto.envelope import EnvelopeError, open_envelope
from tracecore_lineage.retention.recover import open_runs
from tracecore_lineage.seal.seal import seal_build, sealed_build, sealed_builds
from tracecore_schemas.build import GateOutcome, SealedBuild, Waiver
from tracecore_schemas.canonical import digest_bytes, jcs

FAILED = GateOutcome("kpi", passed=False, waived=True, measured=0.4, required=0.6, message="recall.pedestrian is 0.4, expected 0.6")
WAIVER = Waiver("kpi", "only a test track", date(2027, 1, 31), "Ada Lovelace")

DATABASES = ("sqlite", "postgresql")


def test_a_seal_is_an_in_toto_statement_whose_subjects_are_the_builds_artifacts(sealed: RecordWorld) -> None:
    build = sealed.record.query(sealed_build, "demo")
    assert build is not None
    payload = base64.b64decode(build.envelope["payload"])
    assert build.envelope["payloadType"] == "application/vnd.in-toto+json"
    assert jcs(build.statement) == payload
    assert build.ref == f"build/demo@{digest_bytes(payload).removeprefix('sha256:')}"
    assert (build.statement["_type"], build.statement["predicateType"]) == ("https://in-toto.io/Statement/v1", "urn:tracecore:build:1")
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in build.statement["subject"]}
    made = [PROGRAM, *(sealed.made[role] for role in ("engine", "labels", "model", "training_set.train"))]
    assert subjects == {artifact.ref.partition("@")[0]: artifact.digest.removeprefix("sha256:") for artifact in made}


def test_the_signature_is_plain_ed25519_over_dsses_pre_authentication_encoding(sealed: RecordWorld) -> None:
    build = sealed.record.query(sealed_build, "demo")
    assert build is not None
    payload = base64.b64decode(build.envelope["payload"])
    kind = build.envelope["payloadType"].encode()
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    key = sealed.record.recorder.keys.ensure()
    [signature] = build.envelope["signatures"]
    assert signature["keyid"] == key.id == build.statement["predicate"]["key"]
    Ed25519PublicKey.from_public_bytes(key.raw).verify(base64.b64decode(signature["sig"]), encoded)


def test_the_statement_names_the_place_in_the_ledger_before_its_own_event(sealed: RecordWorld) -> None:
    build = sealed.record.query(sealed_build, "demo")
    assert build is not None
    said = build.statement["predicate"]
    note = notes.parse(said["checkpoint"])
    assert said["ledger"]["position"] == build.position == note.size == sealed.record.recorder.position() - 1
    assert said["ledger"]["root"] == note.root.hex()
    assert note.signed_by([sealed.record.recorder.keys.ensure()]) is not None


def test_the_record_holds_pseudonyms_and_the_table_that_resolves_them_can_be_deleted_from(world: RecordWorld) -> None:
    build = world.all().seal(gates=[FAILED], waivers=[WAIVER])
    said = build.statement["predicate"]
    assert said["approver"] == said["waivers"][0]["by"]
    assert said["approver"].startswith("person-")
    assert "Lovelace" not in json.dumps(world.record.trace("build/demo"))
    assert world.record.query(person_of, said["approver"]) == "Ada Lovelace"


def test_the_same_content_under_the_same_name_is_the_build_that_is_there(world: RecordWorld) -> None:
    first = world.all().seal()
    position = world.record.recorder.position()
    again = world.seal()
    assert (first.new, again.new) == (True, False)
    assert (again.ref, again.statement) == (first.ref, first.statement)
    assert world.record.recorder.position() == position, "a no-op makes no run"


def test_other_wording_of_a_gates_outcome_is_no_other_content(world: RecordWorld) -> None:
    gate = GateOutcome("no_leak", True, False, 0, 0, "nothing is shared")
    world.all().seal(gates=[gate])
    assert not world.seal(gates=[replace(gate, message="no frame is shared")]).new


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"approver": "Grace Hopper"}, "the approver differs"),
        ({"gates": [GateOutcome("no_leak", True, False, 0, 1, "")]}, "the gates differ"),
        ({"gates": [FAILED], "waivers": [WAIVER]}, "the gates and the waivers differ"),
    ],
)
def test_other_content_under_the_same_name_is_refused_and_says_what_differs(world: RecordWorld, change: dict[str, object], words: str) -> None:
    world.all().seal()
    with pytest.raises(UsageError, match=f"build/demo is sealed already .*{words}"):
        world.seal(**change)
    assert open_runs(world.record.recorder) == []


def test_the_same_versions_made_again_by_other_runs_are_no_other_content(world: RecordWorld) -> None:
    first = world.all().seal()
    assert world.all().seal().ref == first.ref


def test_other_artifacts_under_the_same_name_are_named_by_their_roles(world: RecordWorld) -> None:
    world.all().seal()
    world.train("other weights", epochs=2)
    with pytest.raises(UsageError, match="the artifact model differs"):
        world.seal()


def test_a_failed_gate_without_waiver_and_a_waiver_without_gate_are_refused(world: RecordWorld) -> None:
    world.all()
    with pytest.raises(UsageError, match="the gate 'kpi' failed and was not waived"):
        world.seal(gates=[replace(FAILED, waived=False)])
    with pytest.raises(UsageError, match="expected one waiver for each waived gate"):
        world.seal(gates=[FAILED])
    assert world.record.query(sealed_builds) == []


def test_what_json_has_no_number_for_is_refused_in_one_sentence(world: RecordWorld) -> None:
    world.all()
    with pytest.raises(UsageError, match="what JSON has no number for"):
        world.seal(gates=[GateOutcome("kpi", True, False, float("nan"), 0.5, "")])


def test_builds_are_found_by_name_and_listed_in_order(world: RecordWorld) -> None:
    one, two = world.all().seal("one"), world.seal("two")
    assert [build.ref for build in world.record.query(sealed_builds)] == [one.ref, two.ref]
    found = world.record.query(sealed_build, "two")
    assert found is not None
    assert (found.ref, found.position, found.content_digest, found.new) == (two.ref, two.position, two.content_digest, False)
    assert world.record.query(sealed_build, "three") is None


def test_a_build_says_what_it_lacks(world: RecordWorld) -> None:
    world.ingest("north")
    world.curate()
    world.seal()
    unknowns = [unknown for unknown in world.record.trace("build/demo")["unknowns"] if unknown["at"].startswith("build/")]
    assert [unknown["what"] for unknown in unknowns] == ["KPIs", "engine", "model"]


def test_a_release_run_that_was_closed_meanwhile_seals_nothing(world: RecordWorld) -> None:
    request = world.all().request("demo")
    world.record.recorder.start(request.run)
    world.record.recorder.abort(request.run.id, "its process seemed gone")
    with pytest.raises(RunFailed, match="was closed as ABORT before build/demo was sealed"):
        seal_build(world.record.recorder, request)
    assert world.record.query(sealed_builds) == []


def test_of_two_threads_that_seal_one_name_one_wins_and_the_other_finds_it(world: RecordWorld) -> None:
    world.all()
    requests = [world.request("demo") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sealed: list[SealedBuild] = list(pool.map(partial(seal_build, world.record.recorder), requests))
    assert len({build.ref for build in sealed}) == 1
    assert sum(build.new for build in sealed) == 1
    assert len(world.record.query(sealed_builds)) == 1
    assert open_runs(world.record.recorder) == []
    assert world.record.verify()["ok"]


def test_of_two_processes_that_seal_other_content_one_wins_and_the_other_is_refused(world: RecordWorld, tmp_path: Path) -> None:
    world.all()
    root = world.record.workspace.root
    script = textwrap.dedent("""
        import pickle, sys
        from tracecore.errors import UsageError
        from tracecore_lineage import Record
        from tracecore_lineage.seal.seal import seal_build
        request = pickle.loads(open(sys.argv[2], "rb").read())
        record = Record.open(sys.argv[1])
        sys.stdin.readline()
        try:
            print(seal_build(record.recorder, request).new)
        except UsageError:
            print("refused")
    """)
    import pickle

    processes = []
    for who in ("Ada Lovelace", "Grace Hopper"):
        file = tmp_path / f"{who}.request"
        file.write_bytes(pickle.dumps(world.request("demo", approver=who)))
        processes.append(
            subprocess.Popen([sys.executable, "-c", script, str(root), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = sorted(process.communicate()[0].strip() for process in processes)
    assert answers == ["True", "refused"]
    with Record.open(root) as record:
        assert len(record.query(sealed_builds)) == 1
        assert open_runs(record.recorder) == []
        assert record.verify()["ok"]


def test_an_envelope_has_one_form_alone(sealed: RecordWorld) -> None:
    envelope = sealed.record.query(sealed_builds)[0].envelope
    assert open_envelope(envelope).signed_by([sealed.record.recorder.keys.ensure()]) is not None
    for broken in (
        {**envelope, "extra": 1},
        {**envelope, "signatures": []},
        {**envelope, "signatures": envelope["signatures"] * 2},
        {**envelope, "payload": envelope["payload"] + "\n"},
        {"payload": envelope["payload"]},
    ):
        with pytest.raises(EnvelopeError, match="xpected"):
            open_envelope(broken)
