"""`tracecore workspace`: which ledger a workspace is bound to."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, say, workspace_option

if TYPE_CHECKING:
    from tracecore.workspace import NamedWorkspace, Workspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore workspace show
  tracecore workspace move --catalog postgresql+psycopg://build@db.example/fleet
  tracecore workspace join fleet --catalog postgresql+psycopg://build@db.example/fleet --store s3://fleet/store
"""

_CATALOG = click.option("--catalog", metavar="URL", help="The database of ledger and catalog (else TRACECORE_CATALOG_URL).")
_STORE = click.option("--store", metavar="URL", help="The bucket of the artifacts (else TRACECORE_STORE_URL).")


@click.group(name="workspace", epilog=_EXAMPLES)
def command() -> None:
    """Show which ledger a workspace is bound to, join a ledger from a further host, or bind a workspace to where its ledger was moved."""


@command.command(epilog="\b\nExample:\n  tracecore workspace show --json")
@workspace_option
@json_option
def show(workspace: NamedWorkspace, as_json: bool) -> None:
    """Show the ledger of this workspace, and where its catalog and store lie.

    Read from the workspace's own file: catalog and store are not opened. 'tracecore doctor' says whether they hold that ledger.
    """
    from tracecore.workspace import Workspace

    _tell(Workspace.open(workspace), as_json=as_json)


@command.command(
    epilog="\b\nExamples:\n  tracecore workspace move --catalog postgresql+psycopg://build@db.example/fleet\n"
    "  tracecore workspace move --store s3://fleet/store    # after a copy of .tracecore/store to there"
)
@_CATALOG
@_STORE
@workspace_option
@json_option
def move(catalog: str | None, store: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Bind this workspace to where its ledger's catalog or store lie now.

    Copy them there first, with the database's and the bucket's own tools. Both are opened, and refused unless they hold this workspace's ledger.
    Only the places are written down, without user and password: TRACECORE_CATALOG_URL and TRACECORE_STORE_URL still say how to reach them.
    """
    from tracecore.workspace import Workspace
    from tracecore_lineage.api import binding

    settings = workspace.settings.at(catalog=catalog, store=store)
    found = Workspace.open(workspace)
    before = _document(found)
    binding.move(found, catalog=catalog, store=store)
    _tell(found, as_json=as_json)
    bound = _document(found)
    for name, own in (("catalog", "record.db"), ("store", found.store.name)):  # parts inside the workspace need no setting
        if before[name] not in {None, bound[name]}:
            say(f"The {name} was {before[name]}.")
        if getattr(settings, f"{name}_url") != getattr(workspace.settings, f"{name}_url") and bound[name] != own:
            say(f"Set TRACECORE_{name.upper()}_URL to that URL: each command takes the place from there.")


@command.command(
    epilog="\b\nExample:\n  tracecore workspace join fleet --catalog postgresql+psycopg://build@db.example/fleet --store s3://fleet/store"
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@_CATALOG
@_STORE
@workspace_option
@json_option
def join(directory: Path, catalog: str | None, store: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make a further host's folder for the ledger that lies at a catalog and a store.

    DIR is the project's folder: the workspace becomes DIR/.tracecore unless --workspace names another. Its name and ledger are those of the catalog;
    it gets a signing key of its own. A holder of a key of the ledger records the new one with the command that is printed; until then this host
    can read, and signs nothing.
    """
    from tracecore.workspace import DEFAULT
    from tracecore_lineage.api.binding import join as make

    settings = workspace.settings.at(catalog=catalog, store=store)
    made, key = make(replace(workspace, settings=settings, directory=workspace.directory or directory / DEFAULT))
    file = made.keys / f"{key.file_name}.pub"
    recorded = made.keys.joinpath("active").exists()
    if as_json:
        answer = {"workspace": str(made.root), **_document(made), "key": key.id, "public_key": key.pem, "file": str(file), "recorded": recorded}
        emit_json(answer)
        return
    _tell(made, as_json=False)
    click.echo(f"key       {key.id}")
    if not recorded:
        click.echo(f"next      on a host that signs: {shlex.join(['tracecore', 'key', 'add', str(file)])}")


def _document(workspace: Workspace) -> dict[str, str | None]:
    bound = workspace.binding() or {}
    return {"slug": workspace.slug, "ledger_id": workspace.ledger_id, "catalog": bound.get("catalog"), "store": bound.get("store")}


def _tell(workspace: Workspace, *, as_json: bool) -> None:
    found = _document(workspace)
    if as_json:
        emit_json({"workspace": str(workspace.root), **found})
        return
    click.echo(f"workspace {workspace.root} ({found['slug']})")
    click.echo(f"ledger    {found['ledger_id']}")
    for name in ("catalog", "store"):
        click.echo(f"{name:9} {found[name] or 'not bound yet: the first command that opens the record binds it'}")
