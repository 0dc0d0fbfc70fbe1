"""Seals by m of n keys on the command line: from key pairs to a verified build, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cosigners import ADA, BO, CY, STRANGER, files
from rich.console import Console

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.commands.exchange import export_command as export
from tracecore_lineage.commands.key import command as key
from tracecore_lineage.commands.show import show_command as show
from tracecore_lineage.commands.verify import verify_command as verify
from tracecore_lineage.crypto.keys import PrivateKey, short_id
from tracecore_lineage.present.tree import draw, sealed_of
from tracecore_lineage.seal.key_events import cosign

DATABASES = ("sqlite", "postgresql")


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


def test_the_commands_do_it_from_key_pair_to_verified_build(world: RecordWorld, tmp_path: Path) -> None:
    world.all()
    where = ("--workspace", world.record.workspace.root)
    for name in ("ada", "bo", "cy"):
        assert run(key, "new", "-o", tmp_path / f"{name}.pem").exit_code == 0
    assert (tmp_path / "ada.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="exists already, and a key that is overwritten is lost"):
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
    position = asked.recorder.position()
    told = run(key, "sign", tmp_path / "policy.json", "--sign", tmp_path / "ada.pem", "-o", tmp_path / "policy.ada.json").stderr
    assert f"Signing the key policy of {asked.ledger.origin}: 1 of 1 keys ({short_id(STRANGER.public.id)})." in told
    assert asked.recorder.position() == position
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
        (("cosign", "build/demo", "--signature", "ada.pub"), "ada.pub is not a DSSE envelope"),
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
    with pytest.raises(UsageError, match=told):
        run(key, *arguments)


def test_a_private_key_behind_a_pass_phrase_is_named() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

    locked = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(UsageError, match=r"ada\.pem is protected by a pass phrase"):
        PrivateKey.from_pem(locked, "ada.pem")
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UsageError, match=r"holds a X25519PrivateKey, expected an Ed25519 private key"):
        PrivateKey.from_pem(other, "ada.pem")


def test_people_are_told_in_words_how_many_have_signed(asked: Record) -> None:
    def head() -> str:
        console = Console(width=300)
        with console.capture() as captured:
            trace = asked.trace("build/demo")
            console.print(draw(trace, sealed_of(asked.recorder, trace)))
        return captured.get().splitlines()[0]

    assert "signatures: 2 of 3 required, 0 found (NOT ENOUGH)" in head()
    cosign(asked.recorder, "demo", [ADA, BO])
    assert "signatures: 2 of 3 required, 2 found ·" in head()
