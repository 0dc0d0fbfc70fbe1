"""Keys are made once, kept private, and changed in the open."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import threading
from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.crypto import notes
from tracecore_lineage.crypto.keys import KeyRing, PrivateKey, PublicKey
from tracecore_lineage.ledger import ledger
from tracecore_lineage.seal.key_events import KEY_ROTATE, key_statement, rotate_key


def test_the_first_key_is_made_on_first_use_and_its_private_part_is_its_owners_alone(tmp_path: Path) -> None:
    ring = KeyRing(Workspace.create(tmp_path / "workspace"))
    assert ring.active_id() is None
    key = ring.ensure()
    assert ring.active_id() == key.id
    private = tmp_path / "workspace" / "keys" / f"{key.file_name}.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert PublicKey.from_pem(private.with_suffix(".pub").read_bytes(), "file") == key
    assert ring.ensure() == key


def test_a_key_signs_and_its_public_half_verifies() -> None:
    key = PrivateKey.generate()
    signature = key.sign(b"data")
    assert key.public.verifies(signature, b"data")
    assert not key.public.verifies(signature, b"other")
    assert not PrivateKey.generate().public.verifies(signature, b"data")


def test_securesystemslib_signs_and_verifies_with_it() -> None:
    key = PrivateKey.generate()
    signature = key.signer().sign(b"data")
    assert signature.keyid == key.public.id
    key.public.verifier().verify_signature(signature, b"data")


def test_rotation_is_an_event_that_the_old_key_vouches_for(world: RecordWorld) -> None:
    world.ingest("north")
    record = world.record
    old = record.recorder.keys.ensure()
    before = record.recorder.checkpoint()
    new = rotate_key(record.recorder)
    assert record.recorder.keys.active_id() == new.id != old.id
    assert record.recorder.keys.public_keys() == [new, old]
    with record.database.read() as connection:
        events = [json.loads(leaf.body) for leaf in ledger.read(connection)]
    start, complete = events[-2:]
    assert (start["eventType"], complete["eventType"], complete["job"]["name"]) == ("START", "COMPLETE", "tracecore.key_rotate")
    facet = complete["run"]["facets"]["tracecore_key"]
    assert (facet["old"], facet["new"], facet["public_key"]) == (old.id, new.id, new.pem)
    assert old.verifies(base64.b64decode(facet["signature"]), key_statement(KEY_ROTATE, old.id, new))
    assert notes.parse(before).signed_by([old]) == old
    world.ingest("south")
    assert notes.parse(record.recorder.checkpoint()).signed_by([new]) == new
    assert record.query(catalog_differences, record.ledger) == []


def test_of_two_rotations_at_once_the_one_that_the_ledger_names_last_signs(world: RecordWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ingest("north")
    activate = KeyRing.activate
    with Record.open(world.record.workspace) as other:
        second = threading.Thread(target=rotate_key, args=(other.recorder,))

        def slowly(ring: KeyRing, key_id: str) -> None:
            monkeypatch.setattr(KeyRing, "activate", activate)
            second.start()
            second.join(timeout=1)  # it may go on only when this one is done
            activate(ring, key_id)

        monkeypatch.setattr(KeyRing, "activate", slowly)
        rotate_key(world.record.recorder)
        second.join()
    assert [failure for failure in world.record.verify()["failures"] if failure["ref"].startswith("keys/")] == []


def test_a_writer_that_was_open_signs_with_the_new_key_at_once(world: RecordWorld) -> None:
    world.ingest("north")
    with Record.open(world.record.workspace) as other:
        new = rotate_key(other.recorder)
    world.ingest("south")
    assert notes.parse(world.record.recorder.checkpoint()).signed_by([new]) == new


def test_a_lost_private_key_is_named_and_rotation_goes_on_without_its_word(world: RecordWorld) -> None:
    world.ingest("north")
    record = world.record
    old = record.recorder.keys.ensure()
    (record.workspace.keys / f"{old.file_name}.pem").unlink()
    with Record.open(record.workspace) as again:
        with pytest.raises(UsageError, match=r"is missing, so that nothing can be signed: restore it, or .*tracecore key rotate"):
            RecordWorld(again).ingest("south")
        new = rotate_key(again.recorder)
        RecordWorld(again).ingest("south")
        assert notes.parse(again.recorder.checkpoint()).signed_by([new]) == new
        facet = again.recorder.facets(f"run:{_rotation(again)}")["tracecore_key"]
    assert "signature" not in facet
    assert facet["old"] == old.id


def _rotation(record: Record) -> str:
    with record.database.read() as connection:
        events = [json.loads(leaf.body) for leaf in ledger.read(connection)]
    return next(event["run"]["runId"] for event in events if event["job"]["name"] == "tracecore.key_rotate")


def test_a_damaged_private_key_is_named(tmp_path: Path) -> None:
    ring = KeyRing(Workspace.create(tmp_path / "workspace"))
    path = tmp_path / "workspace" / "keys" / f"{ring.ensure().file_name}.pem"
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="is damaged"):
        KeyRing(Workspace.open(tmp_path / "workspace")).private()
    path.write_bytes(PrivateKey.generate().pem())
    with pytest.raises(UsageError, match="is another key than its name says"):
        KeyRing(Workspace.open(tmp_path / "workspace")).private()


@pytest.mark.parametrize("data", [b"", b"no key", PrivateKey.generate().pem()])
def test_what_is_no_public_key_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"build\.pub holds no public key in PEM form"):
        PublicKey.from_pem(data, "build.pub")


def test_where_the_keys_are_lost_nothing_is_signed_until_a_new_one_is_recorded(world: RecordWorld) -> None:
    record = world.record
    shutil.rmtree(record.workspace.keys)
    with pytest.raises(UsageError, match="No signing key is active"):
        world.ingest("north")
    assert not record.workspace.keys.exists()
    key = rotate_key(record.recorder)
    world.ingest("north")
    assert notes.parse(record.recorder.checkpoint()).signed_by([key]) == key
    assert record.workspace.keys.stat().st_mode & 0o077 == 0
    assert [failure for failure in record.verify()["failures"] if failure["ref"].startswith(("keys/", "ledger/"))] == []
