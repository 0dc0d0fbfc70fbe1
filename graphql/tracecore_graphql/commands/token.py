"""`tracecore token create|list|revoke`: tokens of the audit server."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_graphql.tokens import Role, TokenStore

__all__ = ["command"]


@click.group(epilog="\b\nExamples:\n  tracecore token create auditor --expires 2027-01-31\n  tracecore token list")
def command() -> None:
    """Make, list and revoke tokens of the audit server; they are not part of the record."""


@command.command(epilog="\b\nExample:\n  tracecore token create auditor --expires 2027-01-31")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]),
    metavar="DATE",
    help="When it ends: 2027-01-31 (the day's beginning) or 2027-01-31T18:00:00, UTC without an offset. 90 days from now if not given.",
)
@workspace_option
@json_option
def create(role: str, expires: datetime | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make a token and print it; it can't be shown again, since only its hash is kept."""
    moment = expires.replace(tzinfo=UTC) if expires and expires.tzinfo is None else expires
    text = TokenStore(Workspace.open(workspace)).create(Role(role), moment)
    if as_json:
        emit_json({"token": text, "role": role})
    else:
        click.echo(text)


@command.command(name="list", epilog="\b\nExample:\n  tracecore token list --json")
@workspace_option
@json_option
def list_(workspace: NamedWorkspace, as_json: bool) -> None:
    """List the tokens: id, role, state, expiry."""
    now = datetime.now(UTC)
    found = [
        {"id": t.id, "role": t.role.value, "state": t.state(now), "created_at": t.created_at, "expires_at": t.expires_at, "revoked_at": t.revoked_at}
        for t in TokenStore(Workspace.open(workspace)).all()
    ]
    if as_json:
        emit_json({"tokens": found})
        return
    if not found:
        click.echo("No tokens. 'tracecore token create auditor' makes one.")
    for token in found:
        click.echo(f"{token['id']}  {token['role']:<8}  {token['state']:<7}  until {str(token['expires_at'])[:19]}Z")


@command.command(epilog="\b\nExample:\n  tracecore token revoke 3f9c20")
@click.argument("token_id", metavar="ID")
@workspace_option
@json_option
def revoke(token_id: str, workspace: NamedWorkspace, as_json: bool) -> None:
    """Refuse a token from now on, in a running server too; ID is the one that `tracecore token list` shows."""
    token = TokenStore(Workspace.open(workspace)).revoke(token_id)
    if as_json:
        emit_json({"revoked": token.id, "role": token.role.value})
        return
    click.echo(f"Token {token.id} ({token.role.value}) is revoked.", err=True)
