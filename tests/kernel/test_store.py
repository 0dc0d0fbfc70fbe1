"""Bytes by digest, directories by manifest; each damaged file is named."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from store_bytes import AnyStore, artifact, drop, peek, poke, staged_directory

from tracecore.errors import UsageError
from tracecore.store.local import LocalStore
from tracecore.store.manifest import directory_manifest
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact


def test_a_file_is_kept_under_its_digest_and_its_source_stays(store: AnyStore, tmp_path: Path) -> None:
    source = tmp_path / "a.mcap"
    source.write_bytes(b"drive")
    stored = store.put_file(source, run_id="r")
    assert stored.digest == digest_bytes(b"drive")
    assert stored.location == f"blobs/{stored.digest[7:9]}/{stored.digest[7:]}"
    assert source.read_bytes() == b"drive"
    assert store.open(artifact(stored)).read_bytes() == b"drive"
    assert store.verify(artifact(stored)) == []


def test_a_staged_file_is_given_away(store: AnyStore) -> None:
    staged = store.staging("r") / "model.engine"
    staged.write_bytes(b"engine")
    stored = store.put_file(staged, run_id="r", move=True)
    assert not staged.exists()
    assert stored.size_bytes == 6


def test_a_flipped_byte_in_a_file_is_named_and_putting_it_again_heals_it(store: AnyStore, tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"drive")
    kept = artifact(store.put_file(source, run_id="r"))
    poke(store, str(kept.location), b"drivf")
    [failure] = store.verify(kept)
    assert (failure.what, failure.expected) == (kept.location, kept.digest)
    assert failure.found == digest_bytes(b"drivf")
    store.put_file(source, run_id="r2")
    assert store.verify(kept) == []
    drop(store, str(kept.location))
    assert not store.exists(kept)
    assert store.verify(kept)[0].found == "missing"
    with pytest.raises(UsageError, match=f"can't be read: '{kept.location}' is missing from the store"):
        store.open(kept)


def test_a_directory_has_the_digest_of_its_canonical_manifest(store: AnyStore) -> None:
    stored = store.put_directory(staged_directory(store, config_json=b"{}", deep__weights_bin=b"w"), run_id="r")
    manifest = peek(store, f"{stored.location}.manifest.json")
    assert stored.media is Media.DIRECTORY
    assert stored.digest == digest_bytes(manifest)
    assert manifest == (
        b'{"files":[{"path":"config.json","sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},'
        b'{"path":"deep/weights.bin","sha256":"50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326","size":1}],'
        b'"type":"tracecore.directory","v":1}'
    )
    assert store.exists(artifact(stored))
    assert list(store.names(artifact(stored))) == [
        f"{stored.location}/config.json",
        f"{stored.location}/deep/weights.bin",
        f"{stored.location}.manifest.json",
    ]


def test_the_order_in_which_files_were_written_is_no_part_of_a_directory(store: AnyStore) -> None:
    first = store.put_directory(staged_directory(store, "r1", a_txt=b"1", b_txt=b"2"), run_id="r1")
    second = store.put_directory(staged_directory(store, "r2", b_txt=b"2", a_txt=b"1"), run_id="r2")
    assert first == second
    assert not (store.staging("r2") / "model").exists()


def test_changed_extra_and_missing_files_of_a_directory_are_each_named(store: AnyStore) -> None:
    kept = artifact(store.put_directory(staged_directory(store, a_txt=b"1", b_txt=b"2"), run_id="r"))
    poke(store, f"{kept.location}/a.txt", b"x")
    drop(store, f"{kept.location}/b.txt")
    poke(store, f"{kept.location}/c.txt", b"3")
    named = {failure.what.removeprefix(f"{kept.location}/"): (failure.expected[:10], failure.found[:10]) for failure in store.verify(kept)}
    assert named["a.txt"] == (digest_bytes(b"1")[:10], digest_bytes(b"x")[:10])
    assert named["b.txt"][1] == "missing"
    assert named["c.txt"][0] == "no such fi"


def test_a_changed_manifest_beside_a_directory_is_named_and_hides_nothing(store: AnyStore) -> None:
    kept = artifact(store.put_directory(staged_directory(store, a_txt=b"1"), run_id="r"))
    poke(store, f"{kept.location}/a.txt", b"x")
    poke(store, f"{kept.location}.manifest.json", directory_manifest(store.place.scan(str(kept.location))))
    assert {failure.what for failure in store.verify(kept)} == {f"{kept.location}.manifest.json", kept.location}


def test_a_link_in_a_directory_is_refused(store: AnyStore) -> None:
    folder = staged_directory(store, a_txt=b"1")
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="'link' is not an ordinary file"):
        store.put_directory(folder, run_id="r")


def test_a_damaged_directory_is_replaced_when_the_same_is_put_again(store: AnyStore) -> None:
    kept = artifact(store.put_directory(staged_directory(store, "r1", a_txt=b"1"), run_id="r1"))
    poke(store, f"{kept.location}/a.txt", b"x")
    store.put_directory(staged_directory(store, "r2", a_txt=b"1"), run_id="r2")
    assert store.verify(kept) == []


def test_a_location_that_leads_out_of_the_store_is_refused(store: AnyStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    odd = Artifact("model", "m", digest_bytes(b"x"), Media.FILE, "../../secret", 1)
    with pytest.raises(UsageError, match="leads out of the store"):
        store.open(odd)
    assert not store.exists(odd)


def test_bytes_that_are_not_kept_are_said_to_be_known_by_digest_alone(store: AnyStore) -> None:
    with pytest.raises(UsageError, match="not kept in this store: only its digest is recorded"):
        store.open(Artifact("external", "x", digest_bytes(b"x"), Media.NONE, namespace="file"))


def test_a_copied_workspace_verifies_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    store = LocalStore(workspace)
    kept = artifact(store.put_directory(staged_directory(store, a_txt=b"1"), run_id="r"))
    shutil.copytree(workspace.root, tmp_path / "copy")
    assert LocalStore(Workspace.open(tmp_path / "copy")).verify(kept) == []


def test_staging_is_listed_and_discarded(store: AnyStore) -> None:
    staged_directory(store, "r9", a_txt=b"1")
    assert store.staged_runs() == ["r9"]
    store.discard("r9")
    assert store.staged_runs() == []


def test_the_name_is_no_part_of_the_digest(store: AnyStore, tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"same")
    kept = artifact(store.put_file(source, run_id="r"), name="one")
    other = replace(kept, name="two")
    assert kept.digest == other.digest
    assert kept.ref != other.ref
