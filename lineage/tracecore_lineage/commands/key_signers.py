"""`tracecore key new|policy|sign|cosign`: seals by several keys, whose private parts lie elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracecore.cli import emit_json, json_option, no_workspace_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore_lineage.crypto.keys import PrivateKey, PublicKey

__all__ = ["cosign", "new", "policy", "sign"]

_SIGN = click.option(
    "--sign", "private", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="PRIVATE", help="A signer's private key; repeatable."
)
_SIGNED = click.option(
    "--signature", "signed", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="An envelope signed elsewhere."
)


@click.command(epilog="\b\nExample:\n  tracecore key new -o ada.pem    # and ada.pub beside it")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default="signer.pem", show_default=True, metavar="FILE")
@no_workspace_option
@json_option
def new(output: Path, as_json: bool) -> None:
    """Make a signer's key pair, outside any workspace: FILE holds the private key, FILE with .pub the public one."""
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
    say(f"Keep {output} to yourself; give {public} to who sets the policy ('tracecore key policy --signer {public}').")


@click.command(
    epilog="\b\nExamples:\n  tracecore key policy\n  tracecore key policy --threshold 2 --signer ada.pub --signer bo.pub --signer cy.pub\n"
    "  tracecore key policy --threshold 1 --signer ada.pub --sign ada.pem --sign bo.pem    # a change, signed under the old one"
)
@click.option("--threshold", type=int, metavar="M", help="How many of the signers must sign a build.")
@click.option(
    "--signer", "signers", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="PUB", help="A signer's public key; repeatable."
)
@_SIGN
@_SIGNED
@click.option("--draft", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it to be signed elsewhere; record nothing.")
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
    """Say which keys sign builds, and how many have to; without options, show the policy in force.

    It is signed by the key that signs the ledger, recorded, and holds for builds sealed from here on. A change must be signed by as many keys of the
    policy before as it asks for: with --sign where they lie here, else by --draft, 'tracecore key sign' there, and --signature here.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.catalog.signatures import policies
    from tracecore_lineage.crypto.envelope import seal_payload
    from tracecore_lineage.crypto.policy import POLICY_PAYLOAD
    from tracecore_lineage.seal.cosign import draft_policy, set_policy

    with Record.open(workspace) as record:
        if threshold is None and not signers:
            if private or signed or draft:
                raise UsageError("A policy needs --threshold M and --signer PUB for each of its keys.")
            with record.database.read() as connection:
                standing = policies(connection, record.ledger, record.public_keys(connection)).now
            _tell(None if standing is None else (standing.threshold, standing.signers, standing.digest), as_json=as_json)
            return
        if threshold is None or not signers:
            raise UsageError("A policy needs both --threshold M and --signer PUB for each of its keys.")
        wanted = draft_policy(record, threshold, [_public(path) for path in signers])
        if draft is not None:
            _write(draft, _text(seal_payload(wanted.payload(), record.keys.private(), payload_type=POLICY_PAYLOAD)))
            say(f"Wrote the policy to be signed to {draft}; nothing was recorded.")
            return
        recorded = set_policy(record, wanted, [_private(path) for path in private], [_envelope(path) for path in signed])
    _tell((wanted.threshold, wanted.signers, wanted.digest), as_json=as_json)
    say("It holds for builds sealed from here on." if recorded else "That policy is in force already; nothing was recorded.")


@click.command(epilog="\b\nExample:\n  tracecore key sign build.intoto.json --sign ada.pem -o build.ada.json")
@click.argument("envelope", type=click.Path(path_type=Path, dir_okay=False))
@_SIGN
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file instead of stdout.")
@no_workspace_option
def sign(envelope: Path, private: tuple[Path, ...], output: Path | None) -> None:
    """Add a signature to a DSSE envelope, without a workspace: what a signer does on another machine. What is signed is told first."""
    from tracecore_lineage.crypto.envelope import EnvelopeError, open_envelope
    from tracecore_lineage.seal.cosign import add_signature

    if not private:
        raise UsageError("Nothing to sign with: add --sign PRIVATE.")
    given = _envelope(envelope)
    try:
        say(_said(open_envelope(given).payload))
        made = add_signature(given, [_private(path) for path in private])
    except EnvelopeError as error:
        raise UsageError(f"{envelope} can't be signed: {error}") from None
    if output is None:
        click.echo(_text(made), nl=False)
    else:
        _write(output, _text(made))
        say(f"Wrote the signed envelope to {output}.")


@click.command(
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
    """Add signatures over the very statement that sealed BUILD; each is an event of the ledger, and the seal stays as it is."""
    from urllib.parse import unquote

    from tracecore_lineage import Record
    from tracecore_lineage.seal.cosign import cosign as add

    if not private and not signed:
        raise UsageError("Nothing to add: give --sign PRIVATE, or --signature FILE with an envelope that was signed elsewhere.")
    name = unquote(build.removeprefix("build/").partition("@")[0])
    with Record.open(workspace) as record:
        done = add(record, name, [_private(path) for path in private], [_envelope(path) for path in signed])
    if as_json:
        emit_json({"build": done.ref, "new": list(done.new), "signatures": done.signatures.document()})
        return
    for key in done.new:
        click.echo(f"signed by {key}")
    say(
        "; ".join(filter(None, ("Nothing new: these keys had signed before" if not done.new else None, done.signatures.words())))
        or "No policy asks for more."
    )


def _tell(found: tuple[int, Sequence[PublicKey], str] | None, *, as_json: bool) -> None:
    if found is None:
        if as_json:
            emit_json({"policy": None})
        else:
            say("No policy: a build is sealed by the active key alone.")
        return
    threshold, signers, digest = found
    if as_json:
        emit_json({"policy": {"threshold": threshold, "signers": [{"id": key.id, "public_key": key.pem} for key in signers], "digest": digest}})
        return
    click.echo(f"{threshold} of {len(signers)} keys must sign a build:")
    for key in signers:
        click.echo(f"  {key.id}")


def _said(payload: bytes) -> str:
    """Return what a payload is, in the words of whoever is to sign it."""
    from tracecore_lineage.crypto.keys import short_id

    try:
        said: dict[str, Any] = json.loads(payload)
        if said.get("type") == "urn:tracecore:key_policy:1":
            names = ", ".join(short_id(each["id"]) for each in said["signers"])
            return f"Signing the key policy of {said['ledger']}: {said['threshold']} of {len(said['signers'])} keys ({names})."
        predicate = said["predicate"]
        gates = ", ".join(f"{gate['name']} {'passed' if gate['passed'] else 'waived'}" for gate in predicate["gates"]) or "none"
        name, origin, held = predicate["name"], predicate["ledger"]["origin"], len(predicate["artifacts"])
        return f"Signing build/{name} of {origin}, sealed {predicate['sealed_at']}: {held} artifacts; gates: {gates}."
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"Signing {len(payload)} bytes that are neither a build nor a key policy of tracecore."


def _public(path: Path) -> PublicKey:
    from tracecore_lineage.verify.trust import read_key

    return read_key(path)


def _private(path: Path) -> PrivateKey:
    from tracecore_lineage.crypto.keys import PrivateKey

    return PrivateKey.from_pem(_bytes(path, "private key"), str(path))


def _envelope(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(_bytes(path, "envelope"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"{path} is no DSSE envelope: give what 'tracecore export --format in-toto' wrote and somebody signed.")
    return found


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"The {what} {path} can't be read: {(error.strerror or str(error)).lower()}.") from None


def _text(envelope: Mapping[str, Any]) -> str:
    return json.dumps(envelope, ensure_ascii=False, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be written: {(error.strerror or str(error)).lower()}.") from None


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a key's file where there is none yet: a key that is overwritten is lost."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise UsageError(f"{path} is there already, and a key that is overwritten is lost: choose another name.") from None
    except OSError as error:
        raise UsageError(f"The key can't be written to {path}: {(error.strerror or str(error)).lower()}.") from None
