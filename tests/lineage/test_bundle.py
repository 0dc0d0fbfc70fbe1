"""A bundle verifies on its own, whatever was done to it is named, and it has one form."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import pytest
from bundle_world import entries, forged, packed, sealed, without_later
from click.testing import CliRunner
from stored_world import StoredWorld

from tracecore.commands.shell import cli
from tracecore.errors import NegativeVerdict, UsageError
from tracecore.store import folder_store
from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.manifest import MANIFEST, SIGNATURES
from tracecore_lineage.bundle.reader import open_bundle, trace_bundle
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.crypto import merkle
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.model.findings import Findings
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.seal.key_events import rotate_key
from tracecore_lineage.verify.bundle import check_bundle, verify_bundle
from tracecore_schemas.canonical import jcs


def failures(path: Path) -> set[tuple[str, str]]:
    """What a verification names: of what, and which part of it."""
    return {(failure["ref"].partition("@")[0], failure["what"]) for failure in verify_bundle(path)["failures"]}


def test_a_bundle_verifies_without_any_workspace(bundle: Path, vendor: StoredWorld, tmp_path: Path) -> None:
    verdict = verify_bundle(bundle)
    assert (verdict["ok"], verdict["key"], verdict["failures"]) == (True, "unpinned", [])
    assert verdict["checked"]["artifacts"] == 6
    public = tmp_path / "vendor.pub"
    public.write_text(vendor.record.recorder.keys.ensure().pem)
    assert verify_bundle(bundle, key=public)["key"] == "pinned"
    public.write_text(PrivateKey.generate().public.pem)
    named = {(failure["ref"].partition("@")[0], failure["what"]) for failure in verify_bundle(bundle, key=public)["failures"]}
    assert {("build/demo", "signature"), (MANIFEST, "signature of the bundle"), ("checkpoint", "signature of the checkpoint")} <= named


def test_its_events_answer_the_builds_trace_to_the_byte(bundle: Path, vendor: StoredWorld, tmp_path: Path) -> None:
    with open_bundle(bundle) as opened, check_bundle(opened, tmp_path, None, Findings()) as checked:
        assert checked is not None
        assert without_later(checked.shown.trace) == without_later(vendor.record.trace("build/demo"))
        assert folder_store(tmp_path).verify(checked.artifacts[0]) == []


def test_the_same_build_gives_the_same_bytes(bundle: Path, vendor: StoredWorld, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    done = export_bundle(vendor.record.recorder, "build/demo", tmp_path / "again", progress=lambda *step: told.append(step))
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()
    assert (done.artifacts, done.size_bytes) == (6, bundle.stat().st_size)
    assert told[-1][0] == sum(len(data) for name, data in entries(bundle).items() if name.startswith(("events", "store/")))


def test_any_zip_tool_opens_it(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as zipped:
        assert zipped.testzip() is None
        assert {info.filename: zipped.read(info) for info in zipped.infolist()} == entries(bundle)


def test_a_key_that_was_rotated_since_still_verifies_it(tmp_path: Path) -> None:
    found = sealed(tmp_path / "w")
    old = tmp_path / "old.pub"
    old.write_text(found.record.recorder.keys.ensure().pem)
    new = tmp_path / "new.pub"
    new.write_text(rotate_key(found.record.recorder).pem)
    export_bundle(found.record.recorder, "demo", tmp_path / "demo.bundle")
    assert verify_bundle(tmp_path / "demo.bundle", key=old)["failures"] == []
    named = {failure["what"] for failure in verify_bundle(tmp_path / "demo.bundle", key=new)["failures"]}
    assert named <= {"signature", "signature of the checkpoint"}  # the new key can't vouch for what came before it: the bundle is not a whole ledger
    found.record.close()


def test_every_flipped_bit_is_named_or_makes_it_unreadable(bundle: Path, tmp_path: Path) -> None:
    data = bundle.read_bytes()
    chosen = random.Random(7)
    damaged = tmp_path / "damaged.bundle"
    answers = {"named": 0, "unreadable": 0}
    for _ in range(60):
        place = chosen.randrange(len(data) * 8)
        damaged.write_bytes(data[: place // 8] + bytes([data[place // 8] ^ 1 << place % 8]) + data[place // 8 + 1 :])
        try:
            assert verify_bundle(damaged)["failures"] != [], f"bit {place} was flipped and nothing was said"
            answers["named"] += 1
        except NotABundle:
            answers["unreadable"] += 1
    assert min(answers.values()) > 0


@pytest.mark.parametrize("cut", [0, 1, 50, 5000])
def test_a_file_that_was_cut_short_is_no_bundle(bundle: Path, tmp_path: Path, cut: int) -> None:
    short = tmp_path / "short.bundle"
    short.write_bytes(bundle.read_bytes()[:cut] if cut < 50 else bundle.read_bytes()[:-cut])
    with pytest.raises(NotABundle, match="can't be read as a bundle"):
        verify_bundle(short)
    short.write_bytes(bundle.read_bytes() + b"\0")
    with pytest.raises(NotABundle, match="cut short or changed at its end"):
        verify_bundle(short)


def test_a_zip_of_another_tool_and_other_files_are_no_bundles(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.bundle"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in entries(bundle).items():
            zipped.writestr(name, data)
    with pytest.raises(NotABundle, match="not a zip that 'tracecore export --format bundle' wrote"):
        verify_bundle(path)
    with pytest.raises(NotABundle, match=r"it has no 'bundle\.json'"):
        verify_bundle(packed(path, {"readme": b"hello"}))
    with pytest.raises(NotABundle, match="no such file"):
        verify_bundle(tmp_path / "none.bundle")


def test_a_newer_bundle_or_another_type_is_said_to_be_so(bundle: Path, tmp_path: Path) -> None:
    found = entries(bundle)
    said = json.loads(found[MANIFEST])
    path = tmp_path / "changed.bundle"
    with pytest.raises(NotABundle, match=r"written by a newer tracecore \(urn:tracecore:bundle:2, version 2\)"):
        verify_bundle(packed(path, {**found, MANIFEST: jcs({**said, "v": 2, "type": "urn:tracecore:bundle:2"})}))
    with pytest.raises(NotABundle, match=r"expected 'urn:tracecore:bundle:1' as the type of its bundle.json, found 'urn:other'"):
        verify_bundle(packed(path, {**found, MANIFEST: jcs({**said, "type": "urn:other"})}))
    with pytest.raises(NotABundle, match="other members than"):
        verify_bundle(packed(path, {**found, MANIFEST: jcs({**said, "more": 1})}))
    with pytest.raises(NotABundle, match="has no DSSE signatures"):
        verify_bundle(packed(path, {**found, SIGNATURES: b"[]"}))


@pytest.mark.parametrize("name", ["store/../../evil", "store//absolute", "store/a\\b", "elsewhere/x", "store/" + "n" * 300, "store/a\nb"])
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_unpacked(bundle: Path, tmp_path: Path, name: str) -> None:
    key = PrivateKey.generate()

    def add(found: dict[str, bytes]) -> None:
        manifest, signatures = found.pop(MANIFEST), found.pop(SIGNATURES)
        content = {**found, name: b"x"}
        found.clear()
        found.update({each: content[each] for each in ["tree", "events", *sorted(content.keys() - {"tree", "events"})]})
        found.update({MANIFEST: manifest, SIGNATURES: signatures})

    with pytest.raises(NotABundle, match=r"not a plain path below store/"):
        verify_bundle(forged(bundle, tmp_path / "evil.bundle", add, key))
    assert not (tmp_path.parent / "evil").exists()


def test_whoever_leaves_something_out_or_puts_something_in_is_named(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "forged.bundle"

    def drop_a_file(found: dict[str, bytes]) -> None:
        del found[next(name for name in found if name.startswith("store/blobs"))]

    named = failures(forged(bundle, path, drop_a_file))
    assert (MANIFEST, "signature of the bundle") in named
    assert any(what.startswith("blobs/") for _, what in named)

    def drop_the_first_event(found: dict[str, bytes]) -> None:
        parts = found["tree"].split(b"\n")
        place, leaf = next((place, part) for place, line in enumerate(parts) if "event_sha256" in (part := json.loads(line)))
        hashed = merkle.leaf_hash(ledger.leaf_data(leaf["recorded_at"], leaf["event_sha256"]))
        parts[place] = jcs(pruned_tree.written(pruned_tree.Left(0, hashed)))
        found["tree"] = b"\n".join(parts)
        found["events"] = found["events"][leaf["size"] :]

    # Every root still comes out: what gives the omission away is the signature over the whole.
    assert (MANIFEST, "signature of the bundle") in failures(forged(bundle, path, drop_the_first_event))

    def change_an_event(found: dict[str, bytes]) -> None:
        found["events"] = found["events"].replace(b'"drive_log"', b'"drive_LOG"', 1)

    assert any(what == "bytes of the event" for _, what in failures(forged(bundle, path, change_an_event)))

    def add_a_file(found: dict[str, bytes]) -> None:
        manifest, signatures = found.pop(MANIFEST), found.pop(SIGNATURES)
        found.update({"store/zzz": b"x", MANIFEST: manifest, SIGNATURES: signatures})

    assert ("store/zzz", "file") in failures(forged(bundle, path, add_a_file))


def test_whoever_signs_a_changed_bundle_with_another_key_is_named(bundle: Path, vendor: StoredWorld, tmp_path: Path) -> None:
    key = PrivateKey.generate()
    path = forged(bundle, tmp_path / "forged.bundle", lambda found: None, key, keys={key.public.id: key.public.pem})
    assert {("build/demo", "signature"), ("checkpoint", "signature of the checkpoint")} <= failures(path)
    path = forged(bundle, path, lambda found: None, vendor.record.recorder.keys.private(), origin="elsewhere")
    assert ("checkpoint", "origin") in failures(path)
    path = forged(bundle, path, lambda found: None, vendor.record.recorder.keys.private(), position=2)
    assert ("build/demo", "seal") in failures(path)
    path = forged(bundle, path, lambda found: None, vendor.record.recorder.keys.private(), stored=("model/demo.model@" + "0" * 64,))
    assert ("model/demo.model", "bytes") in failures(path)


def test_a_build_whose_bytes_are_gone_is_not_exported(tmp_path: Path) -> None:
    found = sealed(tmp_path / "w")
    found.path("engine").unlink()
    with pytest.raises(NegativeVerdict, match=r"can't be exported: 'blobs/.*' of engine/demo.engine@.* is missing from the store"):
        export_bundle(found.record.recorder, "demo", tmp_path / "demo.bundle")
    assert list(tmp_path.glob("*bundle*")) == []
    with pytest.raises(UsageError, match="Did you mean 'build/demo'"):
        export_bundle(found.record.recorder, "demp", tmp_path / "demo.bundle")
    with pytest.raises(UsageError, match="can't be written"):
        export_bundle(found.record.recorder, "demo", tmp_path / "nowhere" / "demo.bundle")
    found.record.close()


def test_what_was_erased_at_home_is_left_out_and_said_to_be_gone(tmp_path: Path) -> None:
    found = sealed(tmp_path / "w")
    withdraw(found.record.recorder, "drive_log/north", reason="the driver asked")
    export_bundle(found.record.recorder, "demo", tmp_path / "demo.bundle")
    verdict = verify_bundle(tmp_path / "demo.bundle")
    assert verdict["failures"] == []
    assert any(entry["ref"].startswith("drive_log/north@") for entry in verdict["erased"])
    assert not any(data == b"an MCAP file" for data in entries(tmp_path / "demo.bundle").values())
    found.record.close()


def test_verify_takes_the_file_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, list(arguments), prog_name="tracecore")
        return result.exit_code, result.output

    code, said = run("verify", str(bundle))
    assert (code, ": verified: 6 artifacts" in said, said.endswith("key: unpinned\n")) == (0, True, True)
    code, said = run("verify", str(bundle), "--json")
    assert (code, json.loads(said)["ok"]) == (0, True)
    bad = forged(bundle, tmp_path / "bad.bundle", lambda found: None, position=3)
    assert run("verify", str(bad))[0] == 1
    (tmp_path / "none.bundle").write_bytes(b"PK")
    assert run("verify", str(tmp_path / "none.bundle"))[0] == 2
    code, said = run("verify", str(tmp_path / "missing.bundle"))
    assert (code, "There is no file" in said) == (2, True)
    code, said = run("verify", str(bundle), "--checkpoint", str(bundle))
    assert (code, "is for a workspace's record" in said) == (2, True)


def test_a_bundle_is_asked_for_its_trace_without_a_workspace(bundle: Path, vendor: StoredWorld, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["trace", "--bundle", str(bundle), "--json"], prog_name="tracecore")
    assert without_later(json.loads(result.stdout)) == without_later(vendor.record.trace("build/demo"))
    assert "was asked, not verified" in result.stderr
    result = CliRunner().invoke(cli, ["trace", "model/demo.model", "--bundle", str(bundle)], prog_name="tracecore")
    assert result.stdout.startswith("model/demo.model@")
    for arguments, sentence in (
        (["trace"], "Name what to trace"),
        (["trace", "--bundle", str(bundle), "--as-of", "2026-01-01"], "leave it out"),
        (["trace", "build/demp", "--bundle", str(bundle)], "Did you mean 'build/demo'"),
    ):
        result = CliRunner().invoke(cli, arguments, prog_name="tracecore")
        assert (result.exit_code, sentence in result.stderr) == (2, True), result.stderr
    data = bundle.read_bytes()
    place = data.index(b'"eventType"')
    (tmp_path / "damaged.bundle").write_bytes(data[:place] + b"x" + data[place + 1 :])
    with pytest.raises(NotABundle, match="is damaged: the bytes of its 'events' are"):
        trace_bundle(tmp_path / "damaged.bundle")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 21, 64])
def test_a_pruned_ledger_gives_every_root_it_was_cut_at(count: int) -> None:
    chosen = random.Random(count)
    leaves = [ledger.Leaf(n, ledger.event_id(b"%d" % n), f"2026-01-01T00:00:00.{n:06d}Z", "", b"%d" % n) for n in range(count)]
    hashes = [ledger.leaf_hash(leaf.recorded_at, leaf.body) for leaf in leaves]
    for _ in range(10):
        held = {leaf.event_id for leaf in leaves if chosen.random() < 0.3}
        cuts = {chosen.randrange(count), count}
        parts = pruned_tree.read_parts([pruned_tree.written(part) for part in pruned_tree.prune(leaves, held, cuts)])
        frontier, roots = pruned_tree.fold(parts, cuts)
        assert frontier.size == count
        assert all(roots[cut] == merkle.root_of(hashes[:cut]) for cut in cuts)
        assert [(place, part.event_id) for place, part in pruned_tree.kept(parts)] == [
            (leaf.seq, leaf.event_id) for leaf in leaves if leaf.event_id in held
        ]


def test_a_subtree_that_can_not_stand_where_it_does_is_refused() -> None:
    with pytest.raises(pruned_tree.TreeError, match=r"a multiple of 2\^3 leaves before a subtree of that level, found 1"):
        pruned_tree.fold([pruned_tree.Left(0, bytes(32)), pruned_tree.Left(3, bytes(32))], ())
    with pytest.raises(pruned_tree.TreeError, match="expected a leaf"):
        pruned_tree.read_part({"level": -1, "hash": "0" * 64})
