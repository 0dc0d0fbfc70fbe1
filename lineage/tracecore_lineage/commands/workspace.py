"""`tracecore workspace`, and the maintenance commands `tracecore replay`, `tracecore recover` and `tracecore doctor`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import TracecoreError
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore.system.settings import Settings
    from tracecore.workspace import Workspace
    from tracecore_lineage.verify.doctor import Examination

__all__ = ["command", "doctor_command", "recover_command", "replay_command"]

_EXAMPLES = """
\b
Examples:
  tracecore workspace show
  tracecore workspace move --catalog postgresql+psycopg://build@db.example/fleet
  tracecore workspace join fleet --catalog postgresql+psycopg://build@db.example/fleet --store s3://fleet/store
"""

_CATALOG = click.option("--catalog", metavar="URL", help="Database of ledger and catalog; default: TRACECORE_CATALOG_URL.")
_STORE = click.option("--store", metavar="URL", help="Bucket of the artifacts; default: TRACECORE_STORE_URL.")


@click.group(name="workspace", epilog=_EXAMPLES)
def command() -> None:
    """Show which ledger a workspace is bound to, join a ledger from a further host, or bind a workspace to its ledger's new location."""


@command.command(epilog="\b\nExample:\n  tracecore workspace show --json")
@workspace_option
@json_option
def show(workspace: NamedWorkspace, as_json: bool) -> None:
    """Show the ledger of this workspace, and the locations of its catalog and store.

    The answer comes from the workspace's own file; catalog and store are not opened. 'tracecore doctor' checks whether they contain this ledger.
    """
    from tracecore.workspace import Workspace

    _print_binding(Workspace.open(workspace), as_json=as_json)


@command.command(
    epilog="\b\nExamples:\n  tracecore workspace move --catalog postgresql+psycopg://build@db.example/fleet\n"
    "  tracecore workspace move --store s3://fleet/store    # after copying .tracecore/store there"
)
@_CATALOG
@_STORE
@workspace_option
@json_option
def move(catalog: str | None, store: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Bind this workspace to the new location of its ledger's catalog or store.

    First copy them there, with the tools of the database and the bucket. The command opens both, and refuses a location that does not contain this
    workspace's ledger. It stores locations without user names and passwords; commands still connect by TRACECORE_CATALOG_URL and TRACECORE_STORE_URL.
    """
    from tracecore.workspace import Workspace
    from tracecore_lineage.api import binding

    settings = workspace.settings.at(catalog=catalog, store=store)
    found = Workspace.open(workspace)
    before = _document(found)
    binding.move(found, catalog=catalog, store=store)
    _print_binding(found, as_json=as_json)
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
    """Create a workspace on a further host for an existing ledger, given by its catalog and store.

    DIR is the project's folder: the workspace is DIR/.tracecore unless --workspace names another folder. It takes its name and ledger from the
    catalog, and gets its own signing key. To let it sign, run the printed command on a host that already signs; until then, this host can only read.
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
    _print_binding(made, as_json=False)
    click.echo(f"key       {key.id}")
    if not recorded:
        click.echo(f"next      on a host that signs: {shlex.join(['tracecore', 'key', 'add', str(file)])}")


def _document(workspace: Workspace) -> dict[str, str | None]:
    bound = workspace.binding() or {}
    return {"slug": workspace.slug, "ledger_id": workspace.ledger_id, "catalog": bound.get("catalog"), "store": bound.get("store")}


def _print_binding(workspace: Workspace, *, as_json: bool) -> None:
    found = _document(workspace)
    if as_json:
        emit_json({"workspace": str(workspace.root), **found})
        return
    click.echo(f"workspace {workspace.root} ({found['slug']})")
    click.echo(f"ledger    {found['ledger_id']}")
    for name in ("catalog", "store"):
        click.echo(f"{name:9} {found[name] or 'not bound yet: the first command that opens the record binds it'}")


_REPLAY_EXAMPLES = """
\b
Examples:
  tracecore replay --check    # list the rows that differ (exit 1 if any do)
  tracecore replay            # rebuild the catalog
"""


@click.command(name="replay", epilog=_REPLAY_EXAMPLES)
@click.option("--check", is_flag=True, help="Only compare, and list every catalog row that differs from the ledger's events.")
@workspace_option
@json_option
@click.pass_context
def replay_command(context: click.Context, check: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Rebuild the catalog from the ledger's events, or compare the two."""
    from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog

    with tracecore_lineage.Record.open(workspace) as record:
        if not check:
            rebuild_catalog(record.database, record.ledger)
        differences = record.query(catalog_differences, record.ledger) if check else []
        events = record.recorder.position()
    if as_json:
        emit_json({"ok": not differences, "events": events, "differences": [asdict(difference) for difference in differences]})
    else:
        for difference in differences:
            click.echo(str(difference))
        rows = [difference for difference in differences if difference.what != "false name"]
        if len(rows) < len(differences):
            say("A name is not the one that its pseudonym stands for: 'tracecore doctor' says what to do.")
        if rows:
            say(f"{len(rows)} differences between the catalog and {events} events: 'tracecore replay' makes the catalog again.")
        else:
            say(f"The catalog is what the ledger's {events} events say." if check else f"Made the catalog again from {events} events.")
    if differences:
        context.exit(1)


_RECOVER_EXAMPLES = """
\b
Examples:
  tracecore recover
  tracecore recover --json
"""


@click.command(name="recover", epilog=_RECOVER_EXAMPLES)
@workspace_option
@json_option
def recover_command(workspace: NamedWorkspace, as_json: bool) -> None:
    """Close the runs of crashed processes as ABORT, remove their staged files, and complete interrupted erasures.

    A run whose process is alive is not changed: the process holds a lock, which the operating system releases when the process dies.
    """
    from tracecore_lineage.retention.recover import recover

    with tracecore_lineage.Record.open(workspace) as record:
        done = recover(record.recorder)
    if as_json:
        emit_json({name: list(runs) for name, runs in asdict(done).items()})
        return
    for run in done.aborted:
        click.echo(f"run/{run}  closed as ABORT")
    for run in done.removed:
        click.echo(f"store/staging/{run}  removed")
    for run in done.live:
        click.echo(f"run/{run}  is alive: left alone")
    for run in done.finished:
        click.echo(f"run/{run}  an erasure that had been promised: finished")
    if not (done.aborted or done.removed or done.live or done.finished):
        click.echo("Nothing to recover: no run is open.")


_DOCTOR_EXAMPLES = """
\b
Examples:
  tracecore doctor
  tracecore doctor --json
"""


@click.command(name="doctor", epilog=_DOCTOR_EXAMPLES)
@workspace_option
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, workspace: NamedWorkspace, as_json: bool) -> None:
    """Report problems of this workspace and how to solve them (exit 1 if there are any). The command changes nothing.

    It checks whether catalog and store contain this workspace's ledger, and looks for open runs of crashed processes, files in the store that are not
    in the record, recorded files that are missing from the store, and problems of the database, the signing keys and the plugins. To check whether
    bytes are as recorded, use 'tracecore verify'.
    """
    from tracecore.workspace import Workspace

    found = _examined(Workspace.open(workspace), workspace.settings)
    if as_json:
        emit_json(found)
    else:
        for run in found["open_runs"]:
            fate = "its process is alive" if run["live"] else "its process is gone: run 'tracecore recover'"
            click.echo(f"open: run/{run['run']} of {run['job']}, started {run['started_at']}; {fate}")
        for orphan in found["orphans"]:
            click.echo(f"orphan: {orphan['path']}; {orphan['why']}")
        for dangling in found["dangling"]:
            click.echo(f"dangling: {dangling['ref']} at {dangling['location']}; {dangling['why']}")
        for problem in found["problems"]:
            click.echo(f"problem: {problem}")
        click.echo("All is well." if found["ok"] else "Something is wrong here.")
    if not found["ok"]:
        ctx.exit(1)


def _examined(workspace: Workspace, settings: Settings) -> Examination:
    """Return the result of `doctor` for a workspace; a record that can't be opened is its only problem."""
    from tracecore_lineage.verify.doctor import examine, unopened

    try:
        with tracecore_lineage.Record.open(workspace) as record:
            return examine(record.recorder, settings)
    except TracecoreError as refused:
        return unopened(refused)
