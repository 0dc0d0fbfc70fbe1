"""`tracecore key`: the signing keys of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands import key_signers

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore key list
  tracecore key export -o build-key.pub    # give it to who verifies: tracecore verify build/X --key build-key.pub
  tracecore key rotate
  tracecore key add host2.pub              # the key of a further host, as 'tracecore workspace join' printed it
  tracecore key new -o ada.pem
  tracecore key policy --threshold 2 --signer ada.pub --signer bo.pub --signer cy.pub
  tracecore key cosign build/demo --sign ada.pem
"""


@click.group(name="key", epilog=_EXAMPLES)
def command() -> None:
    """Show, change and export the keys that sign this workspace's record, and say who else signs its builds."""


for _signers in (key_signers.new, key_signers.policy, key_signers.sign, key_signers.cosign):
    command.add_command(_signers)


@command.command(name="list", epilog="\b\nExample:\n  tracecore key list --json")
@workspace_option
@json_option
def list_(workspace: NamedWorkspace, as_json: bool) -> None:
    """List every key that ever signed here, the active one first."""
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
    """Sign with a new key from here on.

    The change is recorded in the ledger, signed by the old key; what the old key signed keeps verifying, and its public part is kept.
    """
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        old = record.keys.active_id()
        key = record.rotate_key()
        asked = _in_policy(record, old)
    if as_json:
        emit_json({"old": old, "new": key.id, "public_key": key.pem})
        return
    click.echo(key.id)
    say("Give the new public key to those who verify: 'tracecore key export'.")
    if asked:
        say("The old key is a signer of the key policy, the new one is not: 'tracecore key policy' changes that.")


@command.command(epilog="\b\nExample:\n  tracecore key add ed25519-4f1c….pub    # as 'tracecore workspace join' printed it")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@workspace_option
@json_option
def add(file: Path, workspace: NamedWorkspace, as_json: bool) -> None:
    """Let a further host of this ledger sign with the public key in FILE.

    It is recorded in the ledger, vouched for by the key that signs here, so that who trusts that one can follow.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.seal import rotation
    from tracecore_lineage.verify.trust import read_key

    key = read_key(file)
    with Record.open(workspace) as record:
        new = rotation.add(record, key)
        by = record.keys.active_id()
    if as_json:
        emit_json({"id": key.id, "new": new, "by": by, "public_key": key.pem})
        return
    click.echo(key.id)
    say("Its host signs from here on." if new else "The ledger names that key already; nothing was recorded.")


def _in_policy(record: Record, key: str | None) -> bool:
    from tracecore_lineage.catalog.signatures import policies

    with record.database.read() as connection:
        standing = policies(connection, record.ledger, record.public_keys(connection)).now
    return standing is not None and key in standing.ids


@command.command(epilog="\b\nExample:\n  tracecore key export -o build-key.pub")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file instead of stdout.")
@workspace_option
@json_option
def export(output: Path | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Give the active public key in PEM form, for who verifies with `--key`."""
    from tracecore.workspace import Workspace
    from tracecore_lineage.crypto.keys import KeyRing

    ring = KeyRing(Workspace.open(workspace))
    key = ring.joining() or ring.ensure()
    if output is not None:
        try:
            output.write_text(key.pem, encoding="ascii")
        except OSError as error:
            raise UsageError(f"The key can't be written to {output}: {error.strerror or error}.") from error
    if as_json:
        emit_json({"id": key.id, "public_key": key.pem, "file": None if output is None else str(output)})
    elif output is None:
        click.echo(key.pem, nl=False)
    else:
        say(f"Wrote the public key {key.id} to {output}.")
