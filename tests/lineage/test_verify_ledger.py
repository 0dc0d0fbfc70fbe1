"""Verification recomputes the ledger: events, roots, checkpoints, keys and seals that were tampered with are named, whatever was made to fit.

Modules: `verify/seals.py`, `verify/history.py`.
"""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from stored_world import StoredWorld
from tampering import failures, refit_head, rehash, select, sql

from tracecore.errors import UsageError
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.seal.key_events import rotate_key
from tracecore_schemas.sql_models import CATALOG_TABLES

DATABASES = ("sqlite", "postgresql")


def test_an_edited_event_is_named_and_so_is_every_root_over_it(copied: StoredWorld) -> None:
    body = select(copied, "SELECT body FROM ledger_event WHERE seq = 5")[0]
    sql(copied, "UPDATE ledger_event SET body = ? WHERE seq = 5", bytes(body).replace(b"demo", b"fake"))
    found = failures(copied)
    assert ("event/5", "bytes of the event") in found
    assert ("ledger/head", "Merkle root") in found
    assert any(ref == "build/demo" and what.startswith("Merkle root over the first") for ref, what in found)
    assert ("event/5", "bytes of the event") in failures(copied, "build/demo")


def test_a_text_in_place_of_an_events_bytes_is_refused_by_the_table_itself(copied: StoredWorld) -> None:
    if copied.record.database.dialect.shared:
        pytest.skip("PostgreSQL's types have always been strict")
    with pytest.raises(IntegrityError, match="cannot store TEXT value in BLOB column"):
        sql(copied, "UPDATE ledger_event SET body = replace(body, 'demo', 'fake') WHERE seq = 5")
    sql(copied, "UPDATE ledger_event SET body = CAST(replace(body, 'demo', 'fake') AS BLOB) WHERE seq = 5")
    assert ("event/5", "bytes of the event") in failures(copied)
    assert copied.record.query(catalog_differences, copied.record.ledger)


def test_an_event_edited_with_all_its_hashes_and_the_catalog_refitted_breaks_the_signed_roots(copied: StoredWorld) -> None:
    body = select(copied, "SELECT body FROM ledger_event WHERE seq = 5")[0]
    rehash(copied, 5, bytes(body).replace(b"demo.drives", b"fake.drives"))
    found = failures(copied)
    assert ("ledger/head", "Merkle root in the checkpoint") in found
    assert any(ref == "build/demo" and what.startswith("Merkle root over the first") for ref, what in found)


def test_a_changed_recorded_time_is_named(copied: StoredWorld) -> None:
    sql(copied, "UPDATE ledger_event SET recorded_at = '2031-01-01T00:00:00.000000Z' WHERE seq = 3")
    found = failures(copied)
    assert ("event/3", "leaf hash (event and recorded time)") in found
    assert ("event/4", "recorded time") in found


def test_a_deleted_event_is_named(copied: StoredWorld) -> None:
    sql(copied, "DELETE FROM ledger_event WHERE seq = 4")
    found = failures(copied)
    assert ("event/4", "event missing from the ledger") in found
    assert ("ledger/head", "Merkle root") in found


def test_a_truncated_ledger_is_named_by_its_head_and_by_a_checkpoint_kept_elsewhere(copied: StoredWorld, tmp_path: Path) -> None:
    kept_note = tmp_path / "kept.checkpoint"
    kept_note.write_text(copied.record.recorder.checkpoint(), encoding="utf-8")
    assert failures(copied, checkpoint=kept_note) == []
    size = copied.record.recorder.position()
    sql(copied, "DELETE FROM ledger_event WHERE seq >= ?", size - 2)
    for table in CATALOG_TABLES:
        sql(copied, f"DELETE FROM {table.__tablename__} WHERE seq >= ?", size - 2)  # our own table names
    assert ("ledger/head", "number of events") in failures(copied)
    refit_head(copied)
    assert failures(copied) == [("ledger/head", "number of events in the checkpoint")]
    assert ("checkpoint", "number of events (the ledger was truncated, or the checkpoint is of a fork of it)") in failures(
        copied, checkpoint=kept_note
    )


def test_a_checkpoint_of_another_history_or_signed_by_nobody_known_is_named(
    copied: StoredWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACECORE_CATALOG_URL", raising=False)  # another history is another database
    other = StoredWorld.at(tmp_path / "world")
    other.start("x")
    other.start("y")
    note = tmp_path / "other.checkpoint"
    note.write_text(other.record.recorder.checkpoint(), encoding="utf-8")
    other.record.close()
    found = failures(copied, checkpoint=note)
    assert ("checkpoint", "signature of the checkpoint") in found
    assert any(ref == "checkpoint" and what.startswith("Merkle root over the first 4 events (") and "fork" in what for ref, what in found)
    text = copied.record.recorder.checkpoint()
    note.write_text(text[:-3] + ("B" if text[-3] != "B" else "C") + text[-2:], encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not a checkpoint.*canonical base64"):
        copied.record.verify(checkpoint=note)
    with pytest.raises(UsageError, match="can't be read: no such file"):
        copied.record.verify(checkpoint=tmp_path / "none")


def pin(world: StoredWorld, path: Path) -> Path:
    path.write_text(world.record.recorder.keys.ensure().pem, encoding="ascii")
    return path


def test_a_pinned_key_is_said_to_be_pinned_and_another_key_signs_for_nobody(
    copied: StoredWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = copied.record.verify(key=pin(copied, tmp_path / "own.pub"))
    assert (verdict["ok"], verdict["key"]) == (True, "pinned")
    monkeypatch.delenv("TRACECORE_CATALOG_URL", raising=False)  # another ledger is in another database
    other = StoredWorld.at(tmp_path / "other")
    stranger = pin(other, tmp_path / "other.pub")
    other.record.close()
    found = failures(copied, key=stranger)
    assert set(found) == {("build/demo", "signature"), ("build/demo", "signature of the checkpoint"), ("ledger/head", "signature of the checkpoint")}
    with pytest.raises(UsageError, match="holds no public key in PEM form"):
        copied.record.verify(key=copied.record.workspace.root / "workspace.json")


def test_a_record_signed_anew_by_a_forger_fails_against_the_pinned_key(copied: StoredWorld, tmp_path: Path) -> None:
    pinned = pin(copied, tmp_path / "own.pub")
    shutil.rmtree(copied.record.workspace.keys)
    copied.record.recorder.keys._loaded = None
    with pytest.raises(UsageError, match="No signing key is active"):
        copied.start("unsigned")
    forged = PrivateKey.generate()
    copied.record.recorder.keys.add(forged)
    copied.record.recorder.keys.activate(forged.public.id)
    copied.start("forged")
    assert ("ledger/head", "signature of the checkpoint") in failures(copied, key=pinned)
    assert ("keys/active", "the key that signs") in failures(copied), "no event names the key that signs now"


@pytest.mark.parametrize("which", ["old", "new"])
def test_after_a_key_rotation_either_key_vouches_for_all(copied: StoredWorld, tmp_path: Path, which: str) -> None:
    old = pin(copied, tmp_path / "old.pub")
    rotate_key(copied.record.recorder)
    copied.seal("second", approver=None)
    new = pin(copied, tmp_path / "new.pub")
    assert copied.record.verify()["ok"]
    assert copied.record.verify(key=old if which == "old" else new)["failures"] == []


def test_a_new_key_vouches_for_the_past_only_through_the_whole_ledger(copied: StoredWorld, tmp_path: Path) -> None:
    rotate_key(copied.record.recorder)
    new = pin(copied, tmp_path / "new.pub")
    sql(copied, "UPDATE ledger_event SET recorded_at = '2031-01-01T00:00:00.000000Z' WHERE seq = 3")
    assert ("build/demo", "signature") in failures(copied, key=new)


def test_a_seal_whose_content_was_changed_and_whose_event_was_refitted_is_named(copied: StoredWorld) -> None:
    seq, body = select(copied, "SELECT seq, body FROM ledger_event ORDER BY seq DESC LIMIT 1")
    event = json.loads(bytes(body))
    build = event["run"]["facets"]["tracecore_build"]
    statement = json.loads(base64.b64decode(build["envelope"]["payload"]))
    statement["predicate"]["gates"][0]["measured"] = 5
    from tracecore_schemas.canonical import jcs

    build["envelope"]["payload"] = base64.b64encode(jcs(statement)).decode()
    rehash(copied, seq, jcs(event))
    found = failures(copied)
    assert {("build/demo", "statement"), ("build/demo", "signature"), ("build/demo", "ref"), ("build/demo", "content digest")} <= set(found)


def test_malleable_base64_in_an_envelope_is_refused(copied: StoredWorld) -> None:
    seq, body = select(copied, "SELECT seq, body FROM ledger_event ORDER BY seq DESC LIMIT 1")
    event = json.loads(bytes(body))
    signature = event["run"]["facets"]["tracecore_build"]["envelope"]["signatures"][0]
    sig = signature["sig"]
    assert sig.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    signature["sig"] = sig[:-3] + alphabet[alphabet.index(sig[-3]) + 1] + "=="
    assert base64.b64decode(signature["sig"]) == base64.b64decode(sig)
    from tracecore_schemas.canonical import jcs

    rehash(copied, seq, jcs(event))
    [failure] = [failure for failure in copied.record.verify()["failures"] if failure["what"] == "seal"]
    assert "canonical base64" in failure["found"]
