"""A bundle made by a hand that wants to deceive or to break: whatever is in it, the answer is a verdict or a sentence, and it comes soon."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from bundle_world import build_upon, forged, world
from click.testing import CliRunner
from fresh_record import BEGUN
from stored_world import StoredWorld, kept

from tracecore.commands.shell import cli
from tracecore.errors import NegativeVerdict
from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.reader import trace_bundle
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.exchange.importer import ImportRefused, import_bundle
from tracecore_lineage.verify.bundle import verify_bundle
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import Media, StageKind
from tracecore_schemas.run import Artifact, RunInput

Change = Callable[[dict[str, bytes]], None]
NOBODY = "0" * 64


def said(name: str, facet: dict[str, Any], job: str, **more: Any) -> bytes:
    """An event of the vendor's own that says anything."""
    wrapped = {name: {"_producer": "urn:x", "_schemaURL": "urn:x", **facet}}
    run = {"runId": "0199aaaa-0000-7000-8000-000000000001", "facets": wrapped}
    event = {"eventTime": "2026-11-22T15:39:45Z", "producer": "urn:x", "schemaURL": "urn:x", "eventType": "COMPLETE"}
    return json.dumps({**event, "run": run, "job": {"namespace": "vendor", "name": job}, **more}).encode()


def with_events(*bodies: bytes, places: int = 0) -> Change:
    """Put events behind those of a bundle, or, with `places`, behind as many subtrees of the largest kind before them."""

    def change(found: dict[str, bytes]) -> None:
        last = max(json.loads(line).get("recorded_at", "") for line in found["tree"].splitlines())
        found["tree"] = b"".join([jcs({"level": 62, "hash": NOBODY}) + b"\n"] * places) + found["tree"]
        for body in bodies:
            found["tree"] += jcs({"recorded_at": last, "event_sha256": sha256(body).hexdigest(), "size": len(body)}) + b"\n"
            found["events"] += body

    return change


def twice(found: dict[str, bytes]) -> None:
    """Let the last event be in the bundle twice."""
    line = next(each for each in reversed(found["tree"].splitlines(keepends=True)) if b"event_sha256" in each)
    found["tree"] += line
    found["events"] += found["events"][-json.loads(line)["size"] :]


def imports(count: int) -> Change:
    """Put in imports each of which names all before it: what the last lets speak is reached in 2^count ways."""
    bodies: list[bytes] = []
    for place in range(count):
        facet = {
            "build": f"build/x@{NOBODY}",
            "origin": "vendor",
            "tree": [{"event_sha256": sha256(body).hexdigest()} for body in bodies],
            "stored": [],
            "changed": [],
            "manifest": {"place": place},
        }
        bodies.append(said("tracecore_import", facet, "tracecore.import"))
    return with_events(*bodies)


def artifact_facet(producer: str = "urn:x", **facet: Any) -> Change:
    """State something else of where the bytes of a version lie."""

    def change(found: dict[str, bytes]) -> None:
        place = found["events"].index(b'"name":"model/demo.model"')
        digest = found["events"].index(b"sha256:", found["events"].index(b'"datasetVersion":"', place))
        version = found["events"][digest : digest + 71].decode()
        told = {"_producer": "urn:x", "_schemaURL": "urn:x"}
        facets = {"version": {**told, "datasetVersion": version}, "tracecore_artifact": {**told, **facet}}
        dataset = {"namespace": "vendor", "name": "model/demo.model", "facets": facets}
        with_events(said("x", {}, "demo.model", producer=producer, inputs=[dataset]))(found)

    return change


KEY = PrivateKey.generate().public
SIGNERS = [{"id": KEY.id, "public_key": KEY.pem}]
CHANGES: dict[str, Change] = {
    "a place beyond all columns": with_events(said("x", {}, "demo.x"), places=2),
    "an event twice": twice,
    "a key change that names a list": with_events(
        said("tracecore_key", {"old": [], "new": {}, "public_key": 5, "signature": 5}, "tracecore.key_rotate")
    ),
    "a key change signed by a number": with_events(
        said("tracecore_key", {"old": KEY.id, "new": "x", "public_key": "y", "signature": 5}, "tracecore.key_rotate")
    ),
    "a policy of numbers": with_events(said("tracecore_key_policy", {"signers": [{"public_key": 5}]}, "tracecore.key_policy")),
    "a policy in a list": with_events(
        said("tracecore_key_policy", {"signers": SIGNERS, "threshold": 1, "envelope": []}, "tracecore.key_policy"),
    ),
    "a cosignature of a list": with_events(said("tracecore_cosign", {"build": []}, "tracecore.cosign")),
    "a seal at a place beyond all columns": with_events(
        said("tracecore_build", {"name": "x", "ref": "x", "program": "p", "content_digest": "c", "position": 2**70, "envelope": {}}, "release"),
    ),
    "bytes of no known kind": artifact_facet(media="strange", location="x"),
    "bytes of a list of kinds": artifact_facet(media=[], location="x"),
    "bytes at a number": artifact_facet(media="file", location=5),
    "a table of no version": artifact_facet(media="delta", location="x", delta=5),
    "imports within imports within imports": imports(40),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_stands_in_its_events_is_a_verdict_and_nothing_is_imported(
    what: str, vendor: StoredWorld, auditor: StoredWorld, bundle: Path, tmp_path: Path
) -> None:
    path = forged(bundle, tmp_path / "forged.bundle", CHANGES[what], vendor.record.recorder.keys.private())
    public = tmp_path / "vendor.pub"
    public.write_text(vendor.record.recorder.keys.ensure().pem)
    for key in (None, public):
        assert verify_bundle(path, key=key)["failures"] != []
        with pytest.raises(ImportRefused):
            import_bundle(auditor.record.recorder, path, key=key)
    assert auditor.record.recorder.position() == BEGUN + 0
    assert [each.name for each in auditor.store.root.rglob("*") if each.is_file()] == ["ledger.json"]


def test_a_cosignature_that_names_a_list_as_its_key_is_named_also_with_a_pinned_key(vendor: StoredWorld, bundle: Path, tmp_path: Path) -> None:
    ref = str(vendor.record.trace("build/demo")["root"])
    change = with_events(said("tracecore_cosign", {"build": ref, "key": []}, "tracecore.cosign", producer=vendor.record.ledger.producer))
    path = forged(bundle, tmp_path / "forged.bundle", change, vendor.record.recorder.keys.private())
    public = tmp_path / "vendor.pub"
    public.write_text(vendor.record.recorder.keys.ensure().pem)
    for key in (None, public):
        assert any(failure["what"].startswith("cosignature at event/") for failure in verify_bundle(path, key=key)["failures"])


@pytest.mark.parametrize(
    "build", ["demo", "build/demo", "vehicle/x", "model/demo.model@" + "a" * 64, "build/demo@abcdef", "build/d%65mo@" + "a" * 64]
)
def test_a_manifest_that_names_no_whole_build_makes_it_unreadable(
    build: str, vendor: StoredWorld, auditor: StoredWorld, bundle: Path, tmp_path: Path
) -> None:
    path = forged(bundle, tmp_path / "forged.bundle", lambda _: None, vendor.record.recorder.keys.private(), build=build)
    for ask in (verify_bundle, trace_bundle, partial(import_bundle, auditor.record.recorder)):
        with pytest.raises(NotABundle, match=r"expected the whole ref of a build|is not a valid ref"):
            ask(path)
    answer = CliRunner().invoke(cli, ["import", str(path), "-w", str(auditor.record.workspace.root)])
    assert answer.exit_code == 2, answer.stderr


def test_bytes_that_are_said_to_lie_outside_are_not_looked_at(vendor: StoredWorld, bundle: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of this machine alone")
    path = forged(
        bundle,
        tmp_path / "f.bundle",
        artifact_facet(vendor.record.ledger.producer, media="file", location=str(secret)),
        vendor.record.recorder.keys.private(),
    )
    told = verify_bundle(path)["failures"]
    assert any(failure["what"] == "location" for failure in told)
    assert sha256(secret.read_bytes()).hexdigest() not in json.dumps(told)


def test_a_name_that_looks_percent_encoded_is_taken_as_it_is(auditor: StoredWorld, tmp_path: Path) -> None:
    found = world(tmp_path / "vendor")
    found.all()
    found.seal("a%20b")
    export_bundle(found.record.recorder, "build/a%2520b", tmp_path / "b.bundle")
    assert import_bundle(auditor.record.recorder, tmp_path / "b.bundle").new
    assert [entry["name"] for entry in auditor.record.trace("build/a%2520b")["later"]] == ["tracecore_imported"]
    assert not import_bundle(auditor.record.recorder, tmp_path / "b.bundle").new
    found.record.close()


def test_a_bundle_of_a_third_says_nothing_more_of_runs_that_were_imported_before(
    vendor: StoredWorld, auditor: StoredWorld, bundle: Path, tmp_path: Path
) -> None:
    """The third took a stranger's word for the vendor's before it imported the vendor's build; all in its bundle verifies."""
    model = next(node for node in vendor.record.trace("build/demo")["nodes"] if node["kind"] == "model")
    third = world(tmp_path / "third", "third")
    event = json.loads(said("x", {}, "demo.model"))
    earlier = {**event, "eventTime": "2020-01-01T00:00:00Z", "eventType": "FAIL", "run": {"runId": model["run"]}}
    assert third.record.ingest([earlier]).recorded == 1
    import_bundle(third.record.recorder, bundle)
    build_upon(third)
    export_bundle(third.record.recorder, "own", tmp_path / "own.bundle")
    assert verify_bundle(tmp_path / "own.bundle")["failures"] == []
    import_bundle(auditor.record.recorder, bundle)
    before = auditor.record.trace(model["ref"])
    with pytest.raises(
        NegativeVerdict, match=r"says of run/\S+ that it ran in ledger  \('vendor'\), but here it is known as one of \w{32} \('vendor'\)"
    ):
        import_bundle(auditor.record.recorder, tmp_path / "own.bundle")
    assert auditor.record.trace(model["ref"]) == before
    assert examine(auditor.record.recorder)["orphans"] == []
    third.record.close()


def test_what_a_stranger_says_of_places_does_not_keep_a_build_from_being_passed_on(auditor: StoredWorld, tmp_path: Path) -> None:
    found = world(tmp_path / "w")
    told = {"_producer": "urn:x", "_schemaURL": "urn:x"}
    digest = f"sha256:{sha256(b'theirs').hexdigest()}"
    facets = {"version": {**told, "datasetVersion": digest}, "tracecore_artifact": {**told, "media": "file", "location": "/data/theirs"}}
    event = json.loads(said("x", {}, "load", outputs=[{"namespace": "else", "name": "model/theirs", "facets": facets}]))
    assert found.record.ingest([{**event, "job": {"namespace": "else", "name": "load"}}]).recorded == 1
    theirs = Artifact("external", "model/theirs", digest, Media.NONE, namespace="else")
    found.all()
    engine = kept("engine", "demo.engine", found.file(b"of their model"))
    found.run("engine", StageKind.COMPILE, [], {"engine": engine}, more_inputs=[RunInput("model", theirs)])
    found.seal("own")
    assert "external/else/" in json.dumps(found.record.trace("build/own"))
    export_bundle(found.record.recorder, "own", tmp_path / "own.bundle")
    assert verify_bundle(tmp_path / "own.bundle")["failures"] == []
    assert import_bundle(auditor.record.recorder, tmp_path / "own.bundle").new
    found.record.close()
