"""`tracecore import`: what others recorded, taken into the record: a build in its bundle, or a file of another tool."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.cli import emit_json, json_option, progress_bar, say, workspace_option
from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.pinning import key_option, threshold_option

__all__ = ["command"]

_BUNDLE = "bundle"
_EXAMPLES = """
\b
Examples:
  tracecore import demo.bundle --key vendor.pub    # a build that another workspace sealed, seals intact
  tracecore import dvc.lock --format dvc           # plugin tracecore-evidence
  tracecore events import events.ndjson            # OpenLineage events
"""


@click.command(name="import", epilog=_EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--format", "format_", metavar="FORMAT", help="What the file is: bundle (the default), or a format that a plugin brings (dvc).")
@key_option
@threshold_option
@workspace_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, source: Path, format_: str | None, keys: tuple[Path, ...], threshold: int | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Take over a build that another workspace exported as a bundle, or a file of another tool as the OpenLineage events it stands for.

    A bundle is verified first; exit 1, and nothing is recorded, where anything in it is not as it was sealed. Either is taken whole or not at all,
    and a second time changes nothing: the file of a build that is here already is not looked into.
    """
    if not source.exists():
        raise UsageError(f"There is no file {source} to import.")
    if format_ is None and not _looks_like_bundle(source):
        raise UsageError(f"{source} is no bundle. Say what the file is with --format. {_offer('', workspace.settings)}")
    if format_ in {None, _BUNDLE}:
        _take_bundle(ctx, source, keys, threshold, workspace, as_json=as_json)
        return
    if keys or threshold is not None:
        raise UsageError("--key and --threshold say who must have signed a bundle; other files are not signed.")
    _take_file(source, str(format_), workspace, as_json=as_json)


def _looks_like_bundle(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(2) == b"PK" or source.suffix == ".bundle"
    except OSError:
        return False


def _offer(format_: str, settings: Settings) -> str:
    from tracecore.errors import suggestion
    from tracecore.plugins.host import PluginHost

    return suggestion(format_, [_BUNDLE, *PluginHost.load(settings).importers]) + " OpenLineage events are taken by 'tracecore events import'."


def _take_bundle(
    ctx: click.Context, source: Path, keys: tuple[Path, ...], threshold: int | None, workspace: NamedWorkspace, *, as_json: bool
) -> None:
    from tracecore_lineage import Record
    from tracecore_lineage.bundle.taking import ImportRefused

    with Record.open(workspace) as record, progress_bar() as bar:
        task = bar.add_task("reading the bundle", total=None)

        def show(done: int, total: int, last: str) -> None:
            bar.update(task, completed=done, total=total, description=f"verified {last.partition('@')[0][:60]}")

        try:
            done = record.import_bundle(source, key=keys or None, threshold=threshold, progress=show)
        except ImportRefused as refused:
            if not as_json:
                raise
            emit_json({"build": None, "verdict": refused.verdict})
            ctx.exit(refused.exit_code)
    if as_json:
        emit_json(
            {"build": done.build, "origin": done.origin, "new": done.new, "recorded": done.events, "known": done.known, "artifacts": done.artifacts}
        )
    elif not done.new:
        click.echo(f"{done.build}: here already, nothing changed")
        say(f"The file was not verified: 'tracecore verify {source}' does that.")
    else:
        key = "key: pinned" if keys else "key: unpinned"
        amount = f"{done.events} events recorded, {done.known} known before, {done.artifacts} artifacts"
        click.echo(f"{done.build}: imported from '{done.origin}': {amount} · {key}")


def _take_file(source: Path, format_: str, workspace: NamedWorkspace, *, as_json: bool) -> None:
    from tracecore.plugins.host import PluginHost
    from tracecore.system.failures import reason_of
    from tracecore_lineage import Record
    from tracecore_lineage.ingest import checked

    found = PluginHost.load(workspace.settings).importer(format_)
    if found is None:
        raise UsageError(f"There is no import format '{format_}'. {_offer(format_, workspace.settings)}")
    try:
        events = list(found.item.events(source))
    except (KeyboardInterrupt, TracecoreError):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        raise RunFailed(f"The importer '{format_}' of plugin '{found.entry_point}' failed: {reason_of(error)}.") from error
    with Record.open(workspace) as record:
        _, bad = checked(events, record.ledger)
        if bad:
            raise RunFailed(
                f"The importer '{format_}' of plugin '{found.entry_point}' gave an event that is none (event {bad[0].index}): {bad[0].reason}."
            )
        done = record.ingest(events, whole=True)
    if done.refused:
        raise UsageError(f"{source.name}: event {done.refused[0].index}: {done.refused[0].reason}. Nothing was recorded.")
    if as_json:
        emit_json({"recorded": done.recorded, "known": done.known, "refused": []})
        return
    click.echo(f"{done.recorded} events recorded, {done.known} known before")
