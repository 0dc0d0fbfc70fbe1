"""`tracecore workspace`, and what keeps a workspace well: `tracecore replay`, `tracecore recover` and `tracecore doctor`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

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

    _print_binding(Workspace.open(workspace), as_json=as_json)


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
  tracecore replay --check    # exit 1 and the rows that differ
  tracecore replay            # make the catalog again
"""


@click.command(name="replay", epilog=_REPLAY_EXAMPLES)
@click.option("--check", is_flag=True, help="Only compare: name every row in which the catalog is not what the ledger says.")
@workspace_option
@json_option
@click.pass_context
def replay_command(context: click.Context, check: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make the catalog again from the ledger's events, or compare them."""
    from tracecore_lineage import Record
    from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog

    with Record.open(workspace) as record:
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
    """Close the runs that a crash left open, as ABORT, and remove what they left in staging.

    A run whose process lives is left alone: it holds a lock that the operating system gives back when the process dies.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.retention.recover import recover

    with Record.open(workspace) as record:
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
    """Report what is wrong in this workspace and what to do; exit 1 where anything is. Nothing is changed.

    Looked at: whether catalog and store hold this workspace's ledger, runs that a crash left open, what lies in the store and is not in the record,
    what the record names and the store lacks, the database, the signing keys, the plugins. Whether bytes are as recorded is the question of
    'tracecore verify'.
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
    """Examine a workspace; a record that can't be opened is reported as a problem."""
    from tracecore_lineage import Record
    from tracecore_lineage.verify.doctor import examine, unopened

    try:
        with Record.open(workspace) as record:
            return examine(record.recorder, settings)
    except TracecoreError as refused:
        return unopened(refused)
