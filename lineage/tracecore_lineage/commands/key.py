"""`tracecore key`: the signing keys of a workspace."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, no_workspace_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, deliver, output_option, writing

if TYPE_CHECKING:
    from tracecore_lineage.crypto.keys import PrivateKey
    from tracecore_lineage.crypto.policy import KeyPolicy

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore key list
  tracecore key export -o build-key.pub    # for users who verify: tracecore verify build/X --key build-key.pub
  tracecore key rotate
  tracecore key add host2.pub              # the key of a further host, as 'tracecore workspace join' printed it
  tracecore key new -o ada.pem
  tracecore key policy --threshold 2 --signer ada.pub --signer bo.pub --signer cy.pub
  tracecore key cosign build/demo --sign ada.pem
"""


_SIGN = click.option("--sign", "private", multiple=True, type=FILE, metavar="PRIVATE", help="Private key file of a signer; repeatable.")
_SIGNED = click.option("--signature", "signed", multiple=True, type=FILE, metavar="FILE", help="Envelope signed on another machine; repeatable.")


@click.group(name="key", epilog=_EXAMPLES)
def command() -> None:
    """Show, rotate and export the keys that sign this workspace's record, and manage further signers of its builds."""


@command.command(name="list", epilog="\b\nExample:\n  tracecore key list --json")
@workspace_option
@json_option
def list_(workspace: NamedWorkspace, as_json: bool) -> None:
    """List all signing keys of this workspace, the active one first."""
    from tracecore.workspace import Workspace
    from tracecore_lineage.crypto.keys import KeyRing

    ring = KeyRing(Workspace.open(workspace))
    active = ring.active_id()
    waiting = ring.joining()
    keys = [{"id": key.id, "active": key.id == active, "public_key": key.pem} for key in ring.public_keys()]
    if as_json:
        emit_json({"keys": keys})
        return
    if not keys:
        say("No key yet: the first is made with the first event, or by 'tracecore key export'.")
    for key in keys:
        click.echo(f"{key['id']}  {'active' if key['active'] else 'not recorded yet' if waiting and key['id'] == waiting.id else 'retired'}")


@command.command(epilog="\b\nExample:\n  tracecore key rotate")
@workspace_option
@json_option
def rotate(workspace: NamedWorkspace, as_json: bool) -> None:
    """Replace the active signing key by a new one.

    The change is recorded in the ledger, signed by the old key. Earlier signatures stay valid, and the old public key is kept.
    """
    from tracecore_lineage.seal.key_events import policy_in_force, rotate_key

    with tracecore_lineage.Record.open(workspace) as record:
        old = record.recorder.keys.active_id()
        key = rotate_key(record.recorder)
        policy = policy_in_force(record.recorder)
    if as_json:
        emit_json({"old": old, "new": key.id, "public_key": key.pem})
        return
    click.echo(key.id)
    say("Give the new public key to those who verify: 'tracecore key export'.")
    if policy is not None and old in policy.ids:
        say("The old key is a signer of the key policy, the new one is not: 'tracecore key policy' changes that.")


@command.command(epilog="\b\nExample:\n  tracecore key add ed25519-4f1c….pub    # as 'tracecore workspace join' printed it")
@click.argument("file", type=FILE)
@workspace_option
@json_option
def add(file: Path, workspace: NamedWorkspace, as_json: bool) -> None:
    """Allow a further host of this ledger to sign, with the key whose public part is in FILE.

    The new key is recorded in the ledger, signed by this workspace's active key, so that trust in the active key extends to the new one.
    """
    from tracecore_lineage.seal.key_events import add_key
    from tracecore_lineage.verify.trust import read_key

    key = read_key(file)
    with tracecore_lineage.Record.open(workspace) as record:
        new = add_key(record.recorder, key)
        by = record.recorder.keys.active_id()
    if as_json:
        emit_json({"id": key.id, "new": new, "by": by, "public_key": key.pem})
        return
    click.echo(key.id)
    say("Its host signs from here on." if new else "The ledger names that key already; nothing was recorded.")


@command.command(epilog="\b\nExample:\n  tracecore key export -o build-key.pub")
@output_option
@workspace_option
@json_option
def export(output: Path | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Print the active public key in PEM form, for users who verify with '--key'."""
    from tracecore.workspace import Workspace
    from tracecore_lineage.crypto.keys import KeyRing

    ring = KeyRing(Workspace.open(workspace))
    key = ring.joining() or ring.ensure()
    deliver(key.pem, output, f"public key {key.id}", {"id": key.id, "public_key": key.pem} if as_json else None)


@command.command(epilog="\b\nExample:\n  tracecore key new -o ada.pem    # and ada.pub next to it")
@click.option("-o", "--output", type=FILE, default="signer.pem", show_default=True, metavar="FILE")
@no_workspace_option
@json_option
def new(output: Path, as_json: bool) -> None:
    """Create a signer's key pair, independent of any workspace: the private key in FILE, the public key next to it with the suffix .pub."""
    from tracecore_lineage.crypto.keys import PrivateKey

    public = output.with_suffix(".pub")
    if public == output:
        raise UsageError(f"{output} is the name of a public key: name the private key's file, such as {output.with_suffix('.pem')}.")
    key = PrivateKey.generate()
    _write_new(output, key.pem(), 0o600)
    _write_new(public, key.public.pem.encode(), 0o644)
    if as_json:
        emit_json({"id": key.public.id, "public_key": key.public.pem, "private": str(output), "public": str(public)})
        return
    click.echo(key.public.id)
    say(f"Keep {output} to yourself; give {public} to whoever sets the policy ('tracecore key policy --signer {public}').")


@command.command(
    epilog="\b\nExamples:\n  tracecore key policy\n  tracecore key policy --threshold 2 --signer ada.pub --signer bo.pub --signer cy.pub\n"
    "  tracecore key policy --threshold 1 --signer ada.pub --sign ada.pem --sign bo.pem    # a change, signed under the old one"
)
@click.option("--threshold", type=int, metavar="M", help="Number of signers who must sign a build.")
@click.option("--signer", "signers", multiple=True, type=FILE, metavar="PUB", help="Public key file of a signer; repeatable.")
@_SIGN
@_SIGNED
@click.option("--draft", type=FILE, metavar="FILE", help="Write the policy to FILE to be signed on other machines; record nothing.")
@workspace_option
@json_option
def policy(
    threshold: int | None,
    signers: tuple[Path, ...],
    private: tuple[Path, ...],
    signed: tuple[Path, ...],
    draft: Path | None,
    workspace: NamedWorkspace,
    as_json: bool,
) -> None:
    """Set which keys sign builds and how many of them must sign; without options, show the policy in force.

    The policy is signed by the active key, recorded in the ledger, and applies to builds sealed afterwards. A change must be signed by as many keys
    of the previous policy as that policy requires: pass keys on this machine with --sign; for keys on other machines, write the new policy with
    --draft, sign it there with 'tracecore key sign', and pass the result with --signature.
    """
    from tracecore_lineage.crypto.envelope import seal_payload
    from tracecore_lineage.crypto.policy import POLICY_PAYLOAD
    from tracecore_lineage.seal.key_events import draft_policy, policy_in_force, set_policy
    from tracecore_lineage.verify.trust import read_key

    with tracecore_lineage.Record.open(workspace) as record:
        if threshold is None and not signers:
            if private or signed or draft:
                raise UsageError("A policy needs --threshold M and --signer PUB for each of its keys.")
            _show_policy(policy_in_force(record.recorder), as_json=as_json)
            return
        if threshold is None or not signers:
            raise UsageError("A policy needs both --threshold M and --signer PUB for each of its keys.")
        wanted = draft_policy(record.recorder, threshold, [read_key(path) for path in signers])
        if draft is not None:
            deliver(_text(seal_payload(wanted.payload(), record.recorder.keys.private(), payload_type=POLICY_PAYLOAD)), draft, "policy to be signed")
            say("Nothing was recorded.")
            return
        recorded = set_policy(record.recorder, wanted, [_private(path) for path in private], [_envelope(path) for path in signed])
    _show_policy(wanted, as_json=as_json)
    say("It holds for builds sealed from here on." if recorded else "That policy is in force already; nothing was recorded.")


@command.command(epilog="\b\nExample:\n  tracecore key sign build.intoto.json --sign ada.pem -o build.ada.json")
@click.argument("envelope", type=FILE)
@_SIGN
@output_option
@no_workspace_option
def sign(envelope: Path, private: tuple[Path, ...], output: Path | None) -> None:
    """Sign a DSSE envelope on a machine without the workspace. Before signing, the command prints what the envelope contains."""
    from tracecore_lineage.crypto.envelope import EnvelopeError, open_envelope
    from tracecore_lineage.seal.key_events import add_signature

    if not private:
        raise UsageError("Nothing to sign with: add --sign PRIVATE.")
    given = _envelope(envelope)
    try:
        say(_described(open_envelope(given).payload))
        made = add_signature(given, [_private(path) for path in private])
    except EnvelopeError as error:
        raise UsageError(f"{envelope} can't be signed: {error}") from None
    deliver(_text(made), output, "signed envelope")


@command.command(
    epilog="\b\nExamples:\n  tracecore key cosign build/demo --sign ada.pem\n"
    "  tracecore export build/demo --format in-toto -o demo.json    # signed elsewhere: tracecore key sign demo.json --sign bo.pem -o demo.bo.json\n"
    "  tracecore key cosign build/demo --signature demo.bo.json"
)
@click.argument("build")
@_SIGN
@_SIGNED
@workspace_option
@json_option
def cosign(build: str, private: tuple[Path, ...], signed: tuple[Path, ...], workspace: NamedWorkspace, as_json: bool) -> None:
    """Add signatures to a sealed BUILD, over its sealed statement. Each is recorded as an event; the seal itself does not change."""
    from urllib.parse import unquote

    from tracecore_lineage.seal.key_events import cosign as add

    if not private and not signed:
        raise UsageError("Nothing to add: give --sign PRIVATE, or --signature FILE with an envelope that was signed elsewhere.")
    name = unquote(build.removeprefix("build/").partition("@")[0])
    with tracecore_lineage.Record.open(workspace) as record:
        done = add(record.recorder, name, [_private(path) for path in private], [_envelope(path) for path in signed])
    if as_json:
        emit_json({"build": done.ref, "new": list(done.new), "signatures": done.signatures.document()})
        return
    for key in done.new:
        click.echo(f"signed by {key}")
    words = ("Nothing new: these keys had signed before" if not done.new else None, done.signatures.words())
    say("; ".join(filter(None, words)) or "No policy asks for more.")


def _show_policy(policy: KeyPolicy | None, *, as_json: bool) -> None:
    if as_json:
        signers = [] if policy is None else [{"id": key.id, "public_key": key.pem} for key in policy.signers]
        emit_json({"policy": policy and {"threshold": policy.threshold, "signers": signers, "digest": policy.digest}})
        return
    if policy is None:
        say("No policy: a build is sealed by the active key alone.")
        return
    click.echo(f"{policy.threshold} of {len(policy.signers)} keys must sign a build:")
    for key in policy.signers:
        click.echo(f"  {key.id}")


def _described(payload: bytes) -> str:
    """Return a sentence that describes a payload (a build, a key policy or other bytes), shown before it is signed."""
    from tracecore_lineage.crypto.keys import short_id

    try:
        content: dict[str, Any] = json.loads(payload)
        if content.get("type") == "urn:tracecore:key_policy:1":
            names = ", ".join(short_id(each["id"]) for each in content["signers"])
            return f"Signing the key policy of {content['ledger']}: {content['threshold']} of {len(content['signers'])} keys ({names})."
        predicate = content["predicate"]
        gates = ", ".join(f"{gate['name']} {'passed' if gate['passed'] else 'waived'}" for gate in predicate["gates"]) or "none"
        name, origin, held = predicate["name"], predicate["ledger"]["origin"], len(predicate["artifacts"])
        return f"Signing build/{name} of {origin}, sealed {predicate['sealed_at']}: {held} artifacts; gates: {gates}."
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"Signing {len(payload)} bytes that are neither a build nor a key policy of tracecore."


def _private(path: Path) -> PrivateKey:
    from tracecore_lineage.crypto.keys import PrivateKey
    from tracecore_lineage.verify.trust import read_file

    return PrivateKey.from_pem(read_file(path, "private key"), str(path))


def _envelope(path: Path) -> Mapping[str, Any]:
    from tracecore_lineage.verify.trust import read_file

    try:
        found = json.loads(read_file(path, "envelope"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a DSSE envelope: expected a signed file of 'tracecore export --format in-toto'.")
    return found


def _text(envelope: Mapping[str, Any]) -> str:
    return json.dumps(envelope, ensure_ascii=False, indent=2) + "\n"


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a new key file with permissions `mode` and fsync it. Raises UsageError if it exists, since an overwritten key would be lost."""
    try:
        with writing("key", path), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except UsageError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise UsageError(f"{path} exists already, and a key that is overwritten is lost: choose another name.") from None
        raise
