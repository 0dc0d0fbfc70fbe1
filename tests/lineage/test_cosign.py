"""Seals by m of n keys: signatures join later, and what is not a signature is named.

Modules: `catalog/signatures.py`.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cosigners import ADA, BO, CY, STRANGER, files, found, pinned, policy, signatures

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.crypto.envelope import seal_payload
from tracecore_lineage.crypto.keys import short_id
from tracecore_lineage.model.facets import TracecoreCosignRunFacet
from tracecore_lineage.seal.key_events import add_signature, cosign
from tracecore_lineage.seal.seal import sealed_build

DATABASES = ("sqlite", "postgresql")


def forged(record: Record, ref: str, **changed: Any) -> None:
    """Record a cosignature as the owner of the workspace could, past every check."""
    payload = base64.b64decode(record.query(sealed_build, "demo").envelope["payload"])  # type: ignore[union-attr]
    good = seal_payload(payload, ADA)["signatures"][0]["sig"]
    facet = TracecoreCosignRunFacet(**{"build": ref, "key": ADA.public.id, "public_key": ADA.public.pem, "signature": good, **changed})
    with record.database.write() as connection:
        record.recorder.append_fact(connection, "cosign", datetime.now(UTC), facets={"tracecore_cosign": facet})


def test_a_build_is_sealed_by_enough_only_when_as_many_keys_have_signed_as_the_policy_asks_for(asked: Record) -> None:
    before = asked.trace("build/demo")
    [(what, expected, given)] = found(asked)
    assert what == "signatures: 2 of 3 required, 0 found"
    assert expected.startswith("signatures by 2 of 3 keys of the policy (")
    assert given == "0"
    assert cosign(asked.recorder, "demo", [ADA]).new == (ADA.public.id,)
    assert [what for what, _, _ in found(asked)] == ["signatures: 2 of 3 required, 1 found"]
    done = cosign(asked.recorder, "demo", [CY])
    assert (done.signatures.enough, found(asked)) == (True, [])
    after = asked.trace("build/demo")
    assert json.dumps({**after, "later": []}) == json.dumps(before)
    assert [(each["what"], each["name"], each["at"]) for each in after["later"]] == [
        ("cosigned", ADA.public.id, after["root"]),
        ("cosigned", CY.public.id, after["root"]),
    ]
    assert asked.query(catalog_differences, asked.ledger) == []


def test_one_key_counts_once_however_often_it_signs(asked: Record) -> None:
    cosign(asked.recorder, "demo", [ADA])
    position = asked.recorder.position()
    assert cosign(asked.recorder, "demo", [ADA, ADA]).new == ()
    assert asked.recorder.position() == position
    forged(asked, asked.query(sealed_build, "demo").ref)  # type: ignore[union-attr]
    assert [what for what, _, _ in found(asked)] == ["signatures: 2 of 3 required, 1 found"]
    assert signatures(asked)["counted"] == 1


def test_the_seals_own_signature_counts_where_its_key_is_a_signer(world: RecordWorld) -> None:
    world.all()
    own = world.record.recorder.keys.private()
    policy(world.record, 2, own, ADA)
    world.seal()
    assert [what for what, _, _ in found(world.record)] == ["signatures: 2 of 2 required, 1 found"]
    cosign(world.record.recorder, "demo", [ADA])
    assert found(world.record) == []


def test_a_key_that_is_no_signer_is_refused_and_where_it_was_recorded_all_the_same_it_is_named(asked: Record) -> None:
    with pytest.raises(UsageError, match=rf"The key {short_id(STRANGER.public.id)} is not a signer of the policy: expected one of \("):
        cosign(asked.recorder, "demo", [STRANGER])
    ref = asked.query(sealed_build, "demo").ref  # type: ignore[union-attr]
    payload = base64.b64decode(asked.query(sealed_build, "demo").envelope["payload"])  # type: ignore[union-attr]
    sig = seal_payload(payload, STRANGER)["signatures"][0]["sig"]
    forged(asked, ref, key=STRANGER.public.id, public_key=STRANGER.public.pem, signature=sig)
    assert found(asked)[0][0].startswith("cosignature at event/")
    assert f"one by {short_id(STRANGER.public.id)}, which is not a key of the policy" in found(asked)[0][2]
    assert signatures(asked)["counted"] == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda good: {"signature": base64.b64encode(bytes(64)).decode()}, "that is not valid"),
        (lambda good: {"signature": seal_payload(b"{}", ADA)["signatures"][0]["sig"]}, "that is not valid"),
        (lambda good: {"key": BO.public.id}, f"a public key that is not {short_id(BO.public.id)}, which it names"),
        (lambda good: {"public_key": BO.public.pem, "key": BO.public.id}, "that is not valid"),
        (lambda good: {"public_key": ADA.public.pem + "\n"}, f"a public key that is not {short_id(ADA.public.id)}, which it names"),
        (lambda good: {"public_key": "no key"}, "holds no public key"),
    ],
    ids=["zeros", "over other bytes", "another key's id", "another key", "another text of the key", "no key"],  # the keys are new each time
)
def test_a_forged_cosignature_is_named_and_does_not_count(asked: Record, changed: Any, told: str) -> None:
    forged(asked, asked.query(sealed_build, "demo").ref, **changed(None))  # type: ignore[union-attr]
    named = [given for what, _, given in found(asked) if what.startswith("cosignature at event/")]
    assert len(named) == 1
    assert told in named[0]
    assert signatures(asked)["counted"] == 0


def test_another_base64_of_the_same_signature_is_named(asked: Record, tmp_path: Path) -> None:
    payload = base64.b64decode(asked.query(sealed_build, "demo").envelope["payload"])  # type: ignore[union-attr]
    good: str = seal_payload(payload, ADA)["signatures"][0]["sig"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = f"{good[:-3]}{letters[letters.index(good[-3]) ^ 1]}=="
    assert base64.b64decode(other) == base64.b64decode(good)
    forged(asked, asked.query(sealed_build, "demo").ref, signature=other)  # type: ignore[union-attr]
    assert any("canonical base64" in given for what, _, given in found(asked) if what.startswith("cosignature"))
    envelope = {**asked.query(sealed_build, "demo").envelope, "signatures": [{"keyid": ADA.public.id, "sig": other}]}  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="not a DSSE envelope with payload, payloadType and signatures in canonical base64"):
        cosign(asked.recorder, "demo", envelopes=[envelope])


def test_a_cosignature_of_a_build_that_was_never_sealed_is_named_where_the_whole_workspace_is_looked_at(asked: Record) -> None:
    forged(asked, f"build/other@{'0' * 64}")
    assert ("cosignature", "one of a build that the ledger seals") in {
        (each["what"], each["expected"]) for each in asked.verify()["failures"] if each["ref"].startswith("event/")
    }


def test_a_build_that_somebody_signed_elsewhere_is_taken_and_what_they_signed_has_to_be_this_build(asked: Record) -> None:
    envelope = asked.query(sealed_build, "demo").envelope  # type: ignore[union-attr]
    signed = add_signature(envelope, [BO])
    assert len(signed["signatures"]) == 2
    nameless = {**envelope, "signatures": [{"sig": each["sig"]} for each in add_signature(envelope, [ADA])["signatures"]]}  # as other tools write it
    assert cosign(asked.recorder, "demo", envelopes=[signed, nameless]).new == (BO.public.id, ADA.public.id)
    assert found(asked) == []
    other = seal_payload(b"{}", BO)
    with pytest.raises(UsageError, match="The signed file contains something other than build/demo"):
        cosign(asked.recorder, "demo", envelopes=[other])
    with pytest.raises(UsageError, match="a signature that no signer of the policy made"):
        cosign(asked.recorder, "demo", envelopes=[add_signature(envelope, [STRANGER])])


def test_keys_that_the_caller_pins_must_have_signed_as_many_of_them_as_asked_for(asked: Record, tmp_path: Path) -> None:
    files(tmp_path, ada=ADA, bo=BO, cy=CY, stranger=STRANGER)
    cosign(asked.recorder, "demo", [ADA, BO])
    assert found(asked, key=pinned(tmp_path, "ada", "bo", "stranger"), threshold=2) == []
    assert found(asked, key=pinned(tmp_path, "ada", "bo")) == []
    assert found(asked, key=pinned(tmp_path, "ada")) == []
    [*_, (what, _, given)] = found(asked, key=pinned(tmp_path, "ada", "cy", "stranger"), threshold=2)
    assert what == "signatures: 2 of 3 pinned keys required, 1 found"
    assert given.startswith("1 (")
    assert ("signature", f"a signature by the pinned key {short_id(STRANGER.public.id)}") in {
        each[:2] for each in found(asked, key=pinned(tmp_path, "stranger"))
    }


def test_a_pinned_key_that_signed_one_build_does_not_speak_for_another(world: RecordWorld, tmp_path: Path) -> None:
    files(tmp_path, ada=ADA)
    world.all()
    policy(world.record, 1, ADA, BO)
    world.seal("first")
    world.train("other weights")
    world.seal("demo")
    cosign(world.record.recorder, "first", [ADA])
    cosign(world.record.recorder, "demo", [BO])
    assert found(world.record) == []
    assert [what for what, _, _ in found(world.record, key=pinned(tmp_path, "ada"))] == ["signatures: 1 of 1 pinned keys required, 0 found"]


def test_an_earlier_build_that_nobody_cosigned_says_nothing_against_a_later_one(asked: Record) -> None:
    world = RecordWorld(asked).all()
    world.train("other weights")
    world.seal("later")
    cosign(asked.recorder, "later", [ADA, BO])
    told = {(each["ref"], each["what"].partition(":")[0]) for each in asked.verify("build/later")["failures"]}
    assert not {ref for ref, _ in told if ref.startswith("build/")}
    assert [each["what"] for each in asked.verify()["failures"] if each["ref"] == "build/demo"] == ["signatures: 2 of 3 required, 0 found"]


@pytest.mark.parametrize(
    ("names", "threshold", "told"),
    [
        (("ada", "ada"), None, "A key is pinned twice: each counts once"),
        (("ada",), 2, "A threshold of 2 can't be met by 1 pinned key"),
        ((), 1, "add --key PUB for each of them"),
        (("nobody",), None, "nobody.pub can't be read: no such file"),
    ],
)
def test_pins_that_make_no_sense_are_refused(asked: Record, tmp_path: Path, names: tuple[str, ...], threshold: int | None, told: str) -> None:
    files(tmp_path, ada=ADA)
    with pytest.raises(UsageError, match=told):
        asked.verify("build/demo", key=pinned(tmp_path, *names) or None, threshold=threshold)
