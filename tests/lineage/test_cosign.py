"""Seals by m of n keys: the policy stands in the ledger, signatures join later, and what is no signature is named."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from record_world import World
from rich.console import Console

from tracecore.errors import UsageProblem
from tracecore_lineage import Record
from tracecore_lineage.commands.export import command as export
from tracecore_lineage.commands.key import command as key
from tracecore_lineage.commands.show import command as show
from tracecore_lineage.commands.verify import command as verify
from tracecore_lineage.facets import TracecoreCosignRunFacet
from tracecore_lineage.rendering.sealed import sealed_of
from tracecore_lineage.rendering.tree import draw
from tracecore_lineage.sealing.cosign import add_signature, cosign, draft_policy, set_policy
from tracecore_lineage.sealing.envelope import seal_payload
from tracecore_lineage.sealing.keys import PrivateKey

DATABASES = ("sqlite", "postgresql")
ADA, BO, CY = (PrivateKey.generate() for _ in range(3))
STRANGER = PrivateKey.generate()


def policy(record: Record, threshold: int, *signers: PrivateKey, sign: tuple[PrivateKey, ...] = ()) -> bool:
    return set_policy(record, draft_policy(record, threshold, [each.public for each in signers]), sign)


def found(record: Record, **more: Any) -> list[tuple[str, str, str]]:
    """What of a verification concerns keys and signatures; these artifacts have no bytes."""
    failures = record.verify("build/demo", **more)["failures"]
    return [(each["what"], each["expected"], each["found"]) for each in failures if each["ref"].startswith(("build/", "event/"))]


def signatures(record: Record) -> dict[str, Any]:
    answer: dict[str, Any] = record.show("build/demo")["signatures"]
    return answer


def files(folder: Path, **keys: PrivateKey) -> None:
    for name, each in keys.items():
        (folder / f"{name}.pem").write_bytes(each.pem())
        (folder / f"{name}.pub").write_text(each.public.pem, encoding="ascii")


def forged(record: Record, ref: str, **changed: Any) -> None:
    """Record a cosignature as who owns the workspace could, past every check."""
    payload = base64.b64decode(record.build("demo").envelope["payload"])  # type: ignore[union-attr]
    good = seal_payload(payload, ADA)["signatures"][0]["sig"]
    facet = TracecoreCosignRunFacet(**{"build": ref, "key": ADA.public.id, "public_key": ADA.public.pem, "signature": good, **changed})
    with record.database.write() as connection:
        record.append_fact(connection, "cosign", datetime.now(UTC), facets={"tracecore_cosign": facet})


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a build that two of three keys have to sign, made once; none of them has."""
    world = World.at(tmp_path_factory.mktemp("pristine") / "workspace").all()
    assert policy(world.record, 2, ADA, BO, CY)
    world.seal()
    world.record.close()
    return world.record.workspace.root


@pytest.fixture
def asked(pristine: Path, tmp_path: Path) -> Iterator[Record]:
    shutil.copytree(pristine, tmp_path / "workspace")
    with Record.open(tmp_path / "workspace") as record:
        yield record


def test_a_build_is_sealed_by_enough_only_when_as_many_keys_have_signed_as_the_policy_asks_for(asked: Record) -> None:
    before = asked.trace("build/demo")
    [(what, expected, given)] = found(asked)
    assert what == "signatures: 2 of 3 required, 0 found"
    assert expected.startswith("signatures by 2 of 3 keys of the policy (")
    assert given == "0"
    assert cosign(asked, "demo", [ADA]).new == (ADA.public.id,)
    assert [what for what, _, _ in found(asked)] == ["signatures: 2 of 3 required, 1 found"]
    done = cosign(asked, "demo", [CY])
    assert (done.signatures.enough, found(asked)) == (True, [])
    after = asked.trace("build/demo")
    assert json.dumps({**after, "later": []}) == json.dumps(before)
    assert [(each["what"], each["name"], each["at"]) for each in after["later"]] == [
        ("cosigned", ADA.public.id, after["root"]),
        ("cosigned", CY.public.id, after["root"]),
    ]
    assert asked.replay(check=True) == []


def test_one_key_counts_once_however_often_it_signs(asked: Record) -> None:
    cosign(asked, "demo", [ADA])
    position = asked.position()
    assert cosign(asked, "demo", [ADA, ADA]).new == ()
    assert asked.position() == position
    forged(asked, asked.build("demo").ref)  # type: ignore[union-attr]
    assert [what for what, _, _ in found(asked)] == ["signatures: 2 of 3 required, 1 found"]
    assert signatures(asked)["counted"] == 1


def test_the_seals_own_signature_counts_where_its_key_is_a_signer(world: World) -> None:
    world.all()
    own = world.record.keys.private()
    policy(world.record, 2, own, ADA)
    world.seal()
    assert [what for what, _, _ in found(world.record)] == ["signatures: 2 of 2 required, 1 found"]
    cosign(world.record, "demo", [ADA])
    assert found(world.record) == []


def test_a_key_that_is_no_signer_is_refused_and_where_it_was_recorded_all_the_same_it_is_named(asked: Record) -> None:
    with pytest.raises(UsageProblem, match=rf"The key {STRANGER.public.id[:12]} is no signer of the policy: expected one of \("):
        cosign(asked, "demo", [STRANGER])
    ref = asked.build("demo").ref  # type: ignore[union-attr]
    payload = base64.b64decode(asked.build("demo").envelope["payload"])  # type: ignore[union-attr]
    sig = seal_payload(payload, STRANGER)["signatures"][0]["sig"]
    forged(asked, ref, key=STRANGER.public.id, public_key=STRANGER.public.pem, signature=sig)
    assert found(asked)[0][0].startswith("cosignature at event/")
    assert f"one by {STRANGER.public.id[:12]}, which is no key of the policy" in found(asked)[0][2]
    assert signatures(asked)["counted"] == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda good: {"signature": base64.b64encode(bytes(64)).decode()}, "that is not valid"),
        (lambda good: {"signature": seal_payload(b"{}", ADA)["signatures"][0]["sig"]}, "that is not valid"),
        (lambda good: {"key": BO.public.id}, f"a public key that is not {BO.public.id[:12]}, which it names"),
        (lambda good: {"public_key": BO.public.pem, "key": BO.public.id}, "that is not valid"),
        (lambda good: {"public_key": ADA.public.pem + "\n"}, f"a public key that is not {ADA.public.id[:12]}, which it names"),
        (lambda good: {"public_key": "no key"}, "holds no public key"),
    ],
    ids=["zeros", "over other bytes", "another key's id", "another key", "another text of the key", "no key"],  # the keys are new each time
)
def test_a_forged_cosignature_is_named_and_does_not_count(asked: Record, changed: Any, told: str) -> None:
    forged(asked, asked.build("demo").ref, **changed(None))  # type: ignore[union-attr]
    named = [given for what, _, given in found(asked) if what.startswith("cosignature at event/")]
    assert len(named) == 1
    assert told in named[0]
    assert signatures(asked)["counted"] == 0


def test_another_base64_of_the_same_signature_is_named(asked: Record, tmp_path: Path) -> None:
    payload = base64.b64decode(asked.build("demo").envelope["payload"])  # type: ignore[union-attr]
    good: str = seal_payload(payload, ADA)["signatures"][0]["sig"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = f"{good[:-3]}{letters[letters.index(good[-3]) ^ 1]}=="
    assert base64.b64decode(other) == base64.b64decode(good)
    forged(asked, asked.build("demo").ref, signature=other)  # type: ignore[union-attr]
    assert any("canonical base64" in given for what, _, given in found(asked) if what.startswith("cosignature"))
    envelope = {**asked.build("demo").envelope, "signatures": [{"keyid": ADA.public.id, "sig": other}]}  # type: ignore[union-attr]
    with pytest.raises(UsageProblem, match="no DSSE envelope with payload, payloadType and signatures in canonical base64"):
        cosign(asked, "demo", envelopes=[envelope])


def test_a_cosignature_of_a_build_that_was_never_sealed_is_named_where_the_whole_workspace_is_looked_at(asked: Record) -> None:
    forged(asked, f"build/other@{'0' * 64}")
    assert ("cosignature", "one of a build that the ledger seals") in {
        (each["what"], each["expected"]) for each in asked.verify()["failures"] if each["ref"].startswith("event/")
    }


def test_a_policy_holds_for_builds_sealed_after_it_and_not_for_those_before(world: World) -> None:
    world.all().seal("first")
    policy(world.record, 1, ADA)
    world.train("other weights")
    world.seal("second")
    assert world.record.show("build/first")["signatures"]["required"] is None
    assert world.record.show("build/second")["signatures"]["required"] == 1
    # The one in force may sign what was sealed before all the same: it counts for who pins it.
    cosign(world.record, "first", [ADA])
    assert world.record.show("build/first")["signatures"]["signed"][-1] == ADA.public.id


def test_a_policy_is_changed_only_by_as_many_of_its_own_keys_as_it_asks_for(asked: Record) -> None:
    with pytest.raises(UsageProblem, match="The policy can't be changed: expected signatures by 2 of 3 keys of the policy before, found 1 "):
        policy(asked, 1, STRANGER, sign=(ADA,))
    with pytest.raises(UsageProblem, match="is no signer of the policy in force"):
        policy(asked, 1, STRANGER, sign=(STRANGER, ADA))
    with pytest.raises(UsageProblem, match=r"found 1 \("):
        policy(asked, 1, STRANGER, sign=(ADA, ADA))
    assert policy(asked, 1, STRANGER, sign=(ADA, BO))
    assert not policy(asked, 1, STRANGER)
    # What was sealed under the old policy still asks for its keys.
    assert signatures(asked)["required"] == 2
    assert asked.verify("build/demo")["ok"] is False


def test_a_policy_that_the_owner_of_the_workspace_slips_in_is_named_and_never_comes_into_force(asked: Record) -> None:
    from tracecore_lineage.facets import TracecoreKeyPolicyRunFacet
    from tracecore_lineage.sealing.policy import POLICY_PAYLOAD

    weak = draft_policy(asked, 1, [STRANGER.public])
    envelope = seal_payload(weak.payload(), asked.keys.private(), payload_type=POLICY_PAYLOAD)
    facet = TracecoreKeyPolicyRunFacet(1, [{"id": STRANGER.public.id, "public_key": STRANGER.public.pem}], weak.previous, envelope)
    with asked.database.write() as connection:
        asked.append_fact(connection, "key_policy", datetime.now(UTC), facets={"tracecore_key_policy": facet})
    with asked.database.write() as connection:
        asked.append_fact(connection, "key_policy", datetime.now(UTC), facets={"tracecore_key_policy": {**_plain(facet), "threshold": 2}})
    named = [(each["expected"], each["found"]) for each in asked.verify()["failures"] if each["what"] == "key policy"]
    assert named[0][0] == "signatures by 2 of 3 keys of the policy before"
    assert "threshold is 2 of 1 keys" in named[1][1]
    World(asked).all().seal("later")
    assert asked.show("build/later")["signatures"]["required"] == 2


def _plain(facet: Any) -> dict[str, Any]:
    from tracecore_lineage.events import plain

    made: dict[str, Any] = plain(facet)
    return made


@pytest.mark.parametrize(
    ("threshold", "signers", "told"),
    [
        (0, [ADA], "A threshold of 0 can't be met by 1 signer"),
        (3, [ADA, BO], "expected 1 to 2"),
        (1, [ADA, ADA], "is given twice: each key counts once"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(world: World, threshold: int, signers: list[PrivateKey], told: str) -> None:
    with pytest.raises(UsageProblem, match=told):
        policy(world.record, threshold, *signers)


def test_without_a_policy_nobody_is_asked_to_cosign(world: World) -> None:
    world.all().seal()
    with pytest.raises(UsageProblem, match="no key policy is in force, so that nobody is asked to; say first which keys sign builds"):
        cosign(world.record, "demo", [ADA])
    with pytest.raises(UsageProblem, match=r"build/demos is not in the record\. Did you mean 'demo'"):
        cosign(world.record, "demos", [ADA])


def test_a_build_that_somebody_signed_elsewhere_is_taken_and_what_they_signed_has_to_be_this_build(asked: Record) -> None:
    envelope = asked.build("demo").envelope  # type: ignore[union-attr]
    signed = add_signature(envelope, [BO])
    assert len(signed["signatures"]) == 2
    nameless = {**envelope, "signatures": [{"sig": each["sig"]} for each in add_signature(envelope, [ADA])["signatures"]]}  # as other tools write it
    assert cosign(asked, "demo", envelopes=[signed, nameless]).new == (BO.public.id, ADA.public.id)
    assert found(asked) == []
    other = seal_payload(b"{}", BO)
    with pytest.raises(UsageProblem, match="The signed file holds something else than build/demo"):
        cosign(asked, "demo", envelopes=[other])
    with pytest.raises(UsageProblem, match="a signature that no signer of the policy made"):
        cosign(asked, "demo", envelopes=[add_signature(envelope, [STRANGER])])


def pinned(folder: Path, *names: str) -> list[Path]:
    return [folder / f"{name}.pub" for name in names]


def test_keys_that_the_caller_pins_must_have_signed_as_many_of_them_as_asked_for(asked: Record, tmp_path: Path) -> None:
    files(tmp_path, ada=ADA, bo=BO, cy=CY, stranger=STRANGER)
    cosign(asked, "demo", [ADA, BO])
    assert found(asked, key=pinned(tmp_path, "ada", "bo", "stranger"), threshold=2) == []
    assert found(asked, key=pinned(tmp_path, "ada", "bo")) == []
    assert found(asked, key=pinned(tmp_path, "ada")) == []
    [*_, (what, _, given)] = found(asked, key=pinned(tmp_path, "ada", "cy", "stranger"), threshold=2)
    assert what == "signatures: 2 of 3 pinned keys required, 1 found"
    assert given.startswith("1 (")
    assert ("signature", f"a signature by the pinned key {STRANGER.public.id[:12]}") in {
        each[:2] for each in found(asked, key=pinned(tmp_path, "stranger"))
    }


def test_a_pinned_key_that_signed_one_build_does_not_speak_for_another(world: World, tmp_path: Path) -> None:
    files(tmp_path, ada=ADA)
    world.all()
    policy(world.record, 1, ADA, BO)
    world.seal("first")
    world.train("other weights")
    world.seal("demo")
    cosign(world.record, "first", [ADA])
    cosign(world.record, "demo", [BO])
    assert found(world.record) == []
    assert [what for what, _, _ in found(world.record, key=pinned(tmp_path, "ada"))] == ["signatures: 1 of 1 pinned keys required, 0 found"]


def test_an_earlier_build_that_nobody_cosigned_says_nothing_against_a_later_one(asked: Record) -> None:
    world = World(asked).all()
    world.train("other weights")
    world.seal("later")
    cosign(asked, "later", [ADA, BO])
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
    with pytest.raises(UsageProblem, match=told):
        asked.verify("build/demo", key=pinned(tmp_path, *names) or None, threshold=threshold)


def test_people_are_told_in_words_how_many_have_signed(asked: Record) -> None:
    def head() -> str:
        console = Console(width=300)
        with console.capture() as captured:
            console.print(draw(asked.trace("build/demo"), sealed_of(asked, asked.build("demo").ref)))  # type: ignore[union-attr]
        return captured.get().splitlines()[0]

    assert "signatures: 2 of 3 required, 0 found (NOT ENOUGH)" in head()
    cosign(asked, "demo", [ADA, BO])
    assert "signatures: 2 of 3 required, 2 found ·" in head()


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


def test_the_commands_do_it_from_key_pair_to_verified_build(world: World, tmp_path: Path) -> None:
    world.all()
    where = ("--workspace", world.record.workspace.root)
    for name in ("ada", "bo", "cy"):
        assert run(key, "new", "-o", tmp_path / f"{name}.pem").exit_code == 0
    assert (tmp_path / "ada.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageProblem, match="is there already, and a key that is overwritten is lost"):
        run(key, "new", "-o", tmp_path / "ada.pem")
    signers = [each for name in ("ada", "bo", "cy") for each in ("--signer", tmp_path / f"{name}.pub")]
    assert run(key, "policy", *where).stderr == "No policy: a build is sealed by the active key alone.\n"
    assert run(key, "policy", "--threshold", 2, *signers, *where).stdout.startswith("2 of 3 keys must sign a build:\n")
    world.seal()
    shown = run(show, "build/demo", *where).stdout
    assert "signatures: 2 of 3 required, 0 found (NOT ENOUGH: 'tracecore key cosign')" in shown
    assert run(key, "cosign", "build/demo", "--sign", tmp_path / "ada.pem", *where).exit_code == 0
    run(export, "build/demo", "--format", "in-toto", "-o", tmp_path / "demo.json", *where)
    signed = run(key, "sign", tmp_path / "demo.json", "--sign", tmp_path / "bo.pem", "-o", tmp_path / "demo.bo.json")
    assert "Signing build/demo of tracecore/world" in signed.stderr
    done = run(key, "cosign", "build/demo", "--signature", tmp_path / "demo.bo.json", "--json", *where)
    assert json.loads(done.stdout)["signatures"]["enough"] is True
    again = run(key, "cosign", "build/demo", "--sign", tmp_path / "ada.pem", *where)
    assert again.stderr == "Nothing new: these keys had signed before; signatures: 2 of 3 required, 2 found\n"
    pins = [each for name in ("ada", "bo", "cy") for each in ("--key", tmp_path / f"{name}.pub")]
    answer = json.loads(run(verify, "build/demo", *pins, "--threshold", 2, "--json", *where).stdout)
    assert answer["key"] == "pinned"
    assert not [each for each in answer["failures"] if each["ref"].startswith("build/")]


def test_a_policy_is_signed_elsewhere_too(asked: Record, tmp_path: Path) -> None:
    files(tmp_path, ada=ADA, bo=BO, cy=CY, new=STRANGER)
    where = ("--workspace", asked.workspace.root)
    change = ("--threshold", 1, "--signer", tmp_path / "new.pub")
    run(key, "policy", *change, "--draft", tmp_path / "policy.json", *where)
    position = asked.position()
    told = run(key, "sign", tmp_path / "policy.json", "--sign", tmp_path / "ada.pem", "-o", tmp_path / "policy.ada.json").stderr
    assert f"Signing the key policy of tracecore/world: 1 of 1 keys ({STRANGER.public.id[:12]})." in told
    assert asked.position() == position
    run(key, "policy", *change, "--signature", tmp_path / "policy.ada.json", "--sign", tmp_path / "bo.pem", *where)
    answer = json.loads(run(key, "policy", "--json", *where).stdout)["policy"]
    assert [each["id"] for each in answer["signers"]] == [STRANGER.public.id]
    assert [each for each in asked.verify()["failures"] if each["what"] == "key policy"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cosign", "build/demo"), "Nothing to add: give --sign PRIVATE, or --signature FILE"),
        (("cosign", "build/demo", "--sign", "gone.pem"), "The private key gone.pem can't be read: no such file"),
        (("cosign", "build/demo", "--sign", "ada.pub"), "ada.pub holds no private key in PEM form"),
        (("cosign", "build/demo", "--signature", "ada.pub"), "ada.pub is no DSSE envelope"),
        (("policy", "--threshold", "1"), "A policy needs both --threshold M and --signer PUB"),
        (("policy", "--sign", "ada.pem"), "A policy needs --threshold M and --signer PUB"),
        (("sign", "ada.pub"), "Nothing to sign with"),
        (("new", "-o", "other.pub"), "is the name of a public key"),
    ],
)
def test_what_the_commands_can_not_do_is_said(
    asked: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    files(tmp_path, ada=ADA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACECORE_HOME", str(asked.workspace.root))
    with pytest.raises(UsageProblem, match=told):
        run(key, *arguments)


def test_a_private_key_behind_a_pass_phrase_is_named() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

    locked = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(UsageProblem, match=r"ada\.pem is protected by a pass phrase"):
        PrivateKey.from_pem(locked, "ada.pem")
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UsageProblem, match=r"holds a X25519PrivateKey, expected an Ed25519 private key"):
        PrivateKey.from_pem(other, "ada.pem")
