"""What others say of a workspace's own: a bundle of the same slug, events in its name, words that look like ours.

Modules: `events/artifacts.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bundle_world import retrained, sealed, without_later, world
from stored_world import StoredWorld, kept

from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.catalog.delegation import Import, delegations_of
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.present.page import page
from tracecore_lineage.present.tree import draw
from tracecore_lineage.trace.show import show
from tracecore_schemas.canonical import blob_location, digest_bytes
from tracecore_schemas.kinds import StageKind

NAMES = ("drive_log/north", "dataset/demo.drives", "label_batch/demo.labels", "model/demo.model", "engine/demo.engine", "build/own")
NOBODY = f"sha256:{'f' * 64}"
RUN = "019ab2c4-1111-7000-8000-00000000000f"


def facet(**members: Any) -> dict[str, Any]:
    return {"_producer": "urn:x", "_schemaURL": "urn:x", **members}


def dataset(name: str, version: str | None, namespace: str = "vendor", **facets: Any) -> dict[str, Any]:
    named = {} if version is None else {"version": facet(datasetVersion=version)}
    return {"namespace": namespace, "name": name, "facets": {**named, **facets}}


def event(job: str = "etl/evil", namespace: str = "etl", **members: Any) -> bytes:
    said = {
        "eventTime": "2099-01-01T00:00:00Z", "eventType": "COMPLETE", "producer": "https://example.com/etl", "schemaURL": "urn:x",
        "run": {"runId": RUN}, "job": {"namespace": namespace, "name": job}, **members,
    }  # fmt: skip
    return json.dumps(said).encode()


def reached(record: Record) -> dict[str, set[str]]:
    return {name: {node["ref"] for node in record.impact(name)["nodes"]} for name in NAMES}


def answers(record: Record) -> dict[str, Any]:
    """All that is asked of ours, without what others claim and the position."""
    told = {name: {**record.trace(name), "claims": [], "position": 0, "later": []} for name in NAMES}
    read = {"claims": [], "read_by": []}  # others may read what is ours
    shown = {name: {**record.query(show, name, workspace=record.workspace), **read} for name in NAMES if not name.startswith("build/")}
    return {"trace": told, "show": shown, "ok": record.verify()["failures"], "agrees": record.query(catalog_differences, record.ledger)}


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[StoredWorld]:
    """A workspace of the vendor's slug that made, byte for byte, much of what the vendor made."""
    found = world(tmp_path / "twin", "vendor").all()
    found.seal("own")
    yield found
    found.record.close()


def test_a_bundle_of_a_workspace_of_the_same_slug_is_taken_and_says_what_it_says_at_home(vendor: StoredWorld, bundle: Path, tmp_path: Path) -> None:
    twin = world(tmp_path / "twin", "vendor")
    assert import_bundle(twin.record.recorder, bundle).new
    assert without_later(twin.record.trace("build/demo")) == without_later(vendor.record.trace("build/demo"))
    assert not import_bundle(twin.record.recorder, bundle).new
    origin = {"ledger_id": vendor.record.ledger.ledger_id, "slug": "vendor"}
    trace = twin.record.trace("model/demo.model")
    assert [node.get("origin") for node in trace["nodes"] if node["run"]] == [origin] * 4
    assert [run.get("origin") for run in trace["runs"]] == [origin] * len(trace["runs"])
    shown = twin.record.query(show, "model/demo.model", workspace=twin.record.workspace)
    assert (shown["origin"], shown["claims"]) == (origin, [])
    assert f"  imported from vendor ({origin['ledger_id'][:6]})" in list(page(shown, str))
    assert twin.record.query(show, f"run/{trace['runs'][0]['id']}", workspace=twin.record.workspace)["origin"] == origin
    assert "imported from vendor" in str([branch.label for branch in draw(trace).children])
    [entry] = twin.record.trace("build/demo")["later"]
    assert (entry["value"]["origin"], entry["value"]["ledger"]) == ("vendor", origin["ledger_id"])
    export_bundle(twin.record.recorder, "demo", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()
    assert twin.record.verify()["failures"] == []
    assert twin.record.query(catalog_differences, twin.record.ledger) == []
    twin.record.close()


def test_a_bundle_changes_nothing_of_ours_but_what_is_claimed(ours: StoredWorld, vendor: StoredWorld, bundle: Path) -> None:
    before, artifacts = answers(ours.record), ours.record.recorder.artifacts("model", "demo.model")
    import_bundle(ours.record.recorder, bundle)
    assert answers(ours.record) == before
    assert ours.record.recorder.artifacts("model", "demo.model") == artifacts
    claims = ours.record.trace("model/demo.model")["claims"]
    made = vendor.record.query(show, "model/demo.model", workspace=vendor.record.workspace)["made_by"][0]
    assert {"at": artifacts[0].ref, "run": made["run"], "job": f"vendor/{made['job']}", "says": "made this version"} in claims
    assert ours.record.query(show, "model/demo.model", workspace=ours.record.workspace)["claims"] == [
        claim for claim in claims if claim["at"] == artifacts[0].ref
    ]
    assert any("made this version" in line for line in page(ours.record.query(show, "model/demo.model", workspace=ours.record.workspace), str))
    ours.check("model", "again")
    assert answers(ours.record)["ok"] == []


def test_a_name_that_both_made_is_ours_and_the_imported_version_is_found_by_its_digest(ours: StoredWorld, tmp_path: Path) -> None:
    other = sealed(tmp_path / "other", "vendor")
    retrained(other)
    other.seal("second")
    export_bundle(other.record.recorder, "second", tmp_path / "second.bundle")
    ref = other.record.trace("model/demo.model")["root"]
    before = answers(ours.record)
    import_bundle(ours.record.recorder, tmp_path / "second.bundle")
    assert answers(ours.record) == before
    assert ours.record.trace(ref[:-50])["root"] == ref
    assert ours.record.query(show, ref, workspace=ours.record.workspace)["origin"]["ledger_id"] == other.record.ledger.ledger_id
    assert ours.record.artifact("model/demo.model").ref == ours.made["model"].ref
    assert ours.record.artifact(ref).location.startswith("imports/")
    other.record.close()


def test_a_build_on_what_both_made_says_which_of_them_it_took(ours: StoredWorld, vendor: StoredWorld, bundle: Path) -> None:
    import_bundle(ours.record.recorder, bundle)
    home = vendor.record.trace("build/demo")
    [engine] = [node["ref"] for node in home["nodes"] if node["kind"] == "engine"]
    runs = {run["id"] for run in ours.record.trace(engine)["runs"]}
    assert ours.runs["engine"] in runs
    assert not runs & {run["id"] for run in home["runs"]}
    reached = ours.record.impact(f"run/{next(run['id'] for run in home['runs'] if run['job'] == 'demo.drives')}")
    assert not {run["id"] for run in reached["runs"]} & set(ours.runs.values())


def test_a_copy_of_a_workspace_that_was_written_to_apart_sends_nothing_home(ours: StoredWorld, tmp_path: Path) -> None:
    import shutil

    ours.record.close()
    shutil.copytree(ours.record.workspace.root, tmp_path / "copy")
    with Record.open(tmp_path / "copy") as copy:
        apart = StoredWorld(copy).all()
        apart.seal("apart")
        export_bundle(copy.recorder, "apart", tmp_path / "apart.bundle")
    with Record.open(ours.record.workspace) as home, pytest.raises(UsageError, match="a copy of the workspace that was written to apart"):
        import_bundle(home.recorder, tmp_path / "apart.bundle")


@pytest.mark.parametrize("ledger", ["", "0" * 32])
def test_events_that_carry_our_slug_and_another_ledgers_id_are_claims(ours: StoredWorld, ledger: str) -> None:
    before = answers(ours.record)
    producer = f"urn:tracecore:ledger:{ledger}" if ledger else "https://example.com"
    model = ours.made["model"]
    said = event(
        "demo.model", "vendor", producer=producer, inputs=[dataset("dataset/demo.drives", NOBODY)],
        outputs=[dataset("model/demo.model", model.digest, tracecore_artifact=facet(location="blobs/evil", kind="model", media="file"))],
    )  # fmt: skip
    assert ours.record.ingest([said]).recorded == 1
    assert answers(ours.record) == before
    assert [claim["says"] for claim in ours.record.query(show, "model/demo.model", workspace=ours.record.workspace)["claims"]] == [
        "made this version"
    ]


def test_what_nobody_made_and_nobody_keeps_never_answers_for_a_name(ours: StoredWorld) -> None:
    before = answers(ours.record)
    prefix = ours.made["model"].digest.removeprefix("sha256:")[:6]
    read = dataset("model/demo.model", f"sha256:{prefix}{'0' * 58}")
    other = dataset("model/other", NOBODY)
    assert ours.record.ingest([event(inputs=[read, other]), event("e", inputs=[read], run={"runId": RUN.replace("f", "e")})]).recorded == 2
    assert answers(ours.record) == before
    assert ours.record.trace(f"model/demo.model@{prefix}")["root"] == ours.made["model"].ref
    with pytest.raises(UsageError, match="not in this part of the record"):
        ours.record.trace("model/other")
    assert ours.record.trace(f"model/other@{'f' * 64}")["gaps"] != []


def test_a_drop_or_rename_of_ours_is_a_claim_under_every_version_of_the_name(ours: StoredWorld) -> None:
    before = answers(ours.record)
    drop = dataset("model/demo.model", None, lifecycleStateChange=facet(lifecycleStateChange="DROP"))
    renamed = {"namespace": "vendor", "name": "model/demo.model"}
    rename = dataset("t", None, "lake", lifecycleStateChange=facet(lifecycleStateChange="RENAME", previousIdentifier=renamed))
    static = {"eventTime": "2026-01-01T00:00:00Z", "producer": "urn:x", "schemaURL": "urn:x", "dataset": drop}
    assert ours.record.ingest([event(outputs=[drop, rename]), json.dumps(static)]).recorded == 2
    assert answers(ours.record) == before
    assert ours.record.trace("build/own")["claims"] == []  # sealed before
    assert ours.record.trace("engine/demo.engine")["claims"] == ours.record.query(show, "model/demo.model", workspace=ours.record.workspace)["claims"]
    assert ours.record.query(show, "model/demo.model", workspace=ours.record.workspace)["claims"] == [
        {"at": ours.made["model"].ref, "run": "", "job": "", "says": "dropped it"},
        {"at": ours.made["model"].ref, "run": RUN, "job": "etl/etl/evil", "says": "dropped it"},
        {"at": ours.made["model"].ref, "run": RUN, "job": "etl/etl/evil", "says": "renamed it to external/lake/t"},
    ]


def test_a_file_of_ours_is_described_by_us_alone(ours: StoredWorld) -> None:
    before = answers(ours.record)
    file = dataset("labels.json", digest_bytes(b'{"images": []}'), "file", documentation=facet(description="mine"), tracecore_origin=facet(name="x"))
    assert ours.record.ingest([event(outputs=[file])]).recorded == 1
    after = answers(ours.record)
    assert after["show"] == before["show"]


def test_a_check_of_ours_that_an_imported_workspace_failed_rejects_nothing(ours: StoredWorld, tmp_path: Path) -> None:
    """A check counts from the workspace that ran what it judges, and from this workspace."""
    other = world(tmp_path / "other", "other").all()
    other.runs["model"] = ours.runs["model"]
    other.check("model", "evil", success=False)
    other.seal("evil")
    export_bundle(other.record.recorder, "evil", tmp_path / "evil.bundle")
    before = answers(ours.record)
    import_bundle(ours.record.recorder, tmp_path / "evil.bundle")
    assert answers(ours.record) == before
    other.record.close()
    assert Workspace.open(tmp_path / "other").slug == "other"


def as_file(ours: StoredWorld, asset: str) -> dict[str, Any]:
    """A version, as a process that finds its bytes on the disk names it."""
    return dataset(str(ours.path(asset)), None, "file")


def alias(ours: StoredWorld, asset: str) -> dict[str, Any]:
    kind_name, _, digest = ours.made[asset].ref.partition("@")
    named = facet(identifiers=[{"namespace": "vendor", "name": kind_name, "type": "TABLE"}])
    return dataset(f"copy-of-{asset}", f"sha256:{digest}", "lake", symlinks=named)


def with_a_slash(ours: StoredWorld, asset: str) -> dict[str, Any]:
    """A version as a producer names a folder."""
    found = as_file(ours, asset)
    return {**found, "name": f"{found['name']}/"}


def in_our_words(ours: StoredWorld, asset: str) -> dict[str, Any]:
    """A version by the place that our own events name."""
    place = {"namespace": "urn:tracecore:store", "name": str(ours.made[asset].location), "type": "LOCATION"}
    return dataset(f"copy-of-{asset}", None, "lake", symlinks=facet(identifiers=[place]))


@pytest.mark.parametrize("asset", ["drive", "drives", "model", "engine"])
@pytest.mark.parametrize("named", [as_file, with_a_slash, in_our_words, alias], ids=["path", "path with a slash", "path in our words", "alias"])
def test_a_stranger_who_reads_ours_by_a_path_or_an_alias_is_reached_and_traced_back(ours: StoredWorld, asset: str, named: Any) -> None:
    if asset == "drive":
        [ours.made["drive"]] = ours.record.recorder.artifacts("drive_log", "north")
    ref, before = ours.made[asset].ref, answers(ours.record)
    table = {"namespace": "lake", "name": "report", "facets": {"version": facet(datasetVersion="1")}}
    read = event(inputs=[named(ours, asset)], outputs=[table], eventTime="2098-01-01T00:00:00Z")
    assert ours.record.ingest([read]).recorded == 1
    assert answers(ours.record) == before
    reached = ours.record.impact(ref)
    assert {"external/lake/report@1"} <= {node["ref"] for node in reached["nodes"]}
    back = ours.record.trace("external/lake/report@1")
    assert ref in {node["ref"] for node in back["nodes"]}
    assert "program/demo" in {node["ref"].partition("@")[0] for node in back["nodes"]}
    assert ours.record.trace(ref)["claims"] == []


@pytest.mark.parametrize("asset", ["drives", "model", "engine"])
@pytest.mark.parametrize("named", [as_file, with_a_slash, in_our_words, alias], ids=["path", "path with a slash", "path in our words", "alias"])
def test_a_stranger_who_writes_to_ours_by_a_path_or_an_alias_claims_it(ours: StoredWorld, asset: str, named: Any) -> None:
    before = answers(ours.record)
    assert ours.record.ingest([event(outputs=[named(ours, asset)])]).recorded == 1
    assert answers(ours.record) == before
    [claim] = ours.record.trace(ours.made[asset].ref)["claims"]
    assert (claim["run"], claim["at"]) == (RUN, ours.made[asset].ref)
    assert ", under the name external/" in claim["says"]


def test_a_stranger_whose_columns_alone_come_from_ours_reads_it(ours: StoredWorld) -> None:
    source = {"namespace": "vendor", "name": "dataset/demo.drives", "field": "x"}
    columns = facet(fields={"y": {"inputFields": [source]}})
    read = event(outputs=[dataset("report", "1", "lake", columnLineage=columns)], eventTime="2098-01-01T00:00:00Z")
    assert ours.record.ingest([read]).recorded == 1
    ref = ours.made["drives"].ref
    assert "external/lake/report@1" in {node["ref"] for node in ours.record.impact(ref)["nodes"]}
    assert ref in {node["ref"] for node in ours.record.trace("external/lake/report@1")["nodes"]}


def test_the_store_of_another_workspace_is_no_store_of_ours(ours: StoredWorld, tmp_path: Path) -> None:
    elsewhere = dataset(str(tmp_path / "elsewhere" / "store" / str(ours.made["drives"].location)), None, "file")
    assert ours.record.ingest([event(inputs=[elsewhere], outputs=[dataset("report", "1", "lake")])]).recorded == 1
    assert "external/lake/report@1" not in {node["ref"] for node in ours.record.impact(ours.made["drives"].ref)["nodes"]}


def test_what_lies_at_a_place_of_the_store_is_known_from_the_same_part_of_the_record_as_the_rest(ours: StoredWorld) -> None:
    """A stranger names a place where nothing of ours lies yet: a question about the record as it was then gets the answer of then."""
    content = b"made later"
    place = ours.record.workspace.store / blob_location(digest_bytes(content))
    read = event(inputs=[dataset(str(place), None, "file")], outputs=[dataset("report", "1", "lake")])
    assert ours.record.ingest([read]).recorded == 1
    asked, then = datetime.now(UTC).isoformat(), ours.record.trace("external/lake/report@1")
    ours.run("late", StageKind.TRAIN, outputs={"model": kept("model", "demo.late", ours.file(content))})
    assert ours.made["late"].ref in {node["ref"] for node in ours.record.trace("external/lake/report@1")["nodes"]}
    assert ours.record.trace("external/lake/report@1", as_of=asked) == then


def test_nobody_speaks_as_this_ledger_under_another_slug(ours: StoredWorld) -> None:
    """Neither an event that carries its id, nor one that an import within a bundle says it took from it."""
    own = ours.record.ledger
    masked = LedgerName("masked", own.ledger_id)
    made = event("demo.model", masked.slug, producer=own.producer, outputs=[dataset("model/demo.model", NOBODY, masked.slug)])
    for body in (made, json.dumps({**json.loads(made), "eventType": "FAIL"}).encode()):
        assert [each.reason.partition(":")[0] for each in ours.record.ingest([body]).refused] == ["producer"]
    other = LedgerName("other", "b" * 32)
    outer = Import("outer", 9, own, other, f"build/x@{NOBODY[7:]}", frozenset({"nested", "made"}), frozenset(), frozenset(), {})
    nested = Import("nested", -1, other, masked, f"build/y@{NOBODY[7:]}", frozenset({"made"}), frozenset(), frozenset(), {})
    assert {voice.ledger for voice in delegations_of([outer, nested], own)["made"]} == {other}
