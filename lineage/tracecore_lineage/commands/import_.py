"""`tracecore import`: what others recorded, taken into the record."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.errors import RunFailed, TracecoreError, UsageProblem
from tracecore.options import emit_json, json_option, workspace_option

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore import dvc.lock --format dvc     # plugin tracecore-evidence
  tracecore events import events.ndjson      # OpenLineage events
"""


@click.command(name="import", epilog=_EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path, exists=True), metavar="FILE")
@click.option("--format", "format_", metavar="FORMAT", help="What the file is: a format that a plugin brings (dvc).")
@workspace_option
@json_option
def command(source: Path, format_: str | None, workspace: Path | None, as_json: bool) -> None:
    """Take a file of another tool into the record, as the OpenLineage events it stands for: all of them or none.

    The same file a second time changes nothing.
    """
    from tracecore.discovery import reason_of
    from tracecore.host import PluginHost
    from tracecore.suggest import suggestion
    from tracecore_lineage import Record
    from tracecore_lineage.ingest import checked

    importers = PluginHost.load().importers
    if format_ is None or format_ not in importers:
        asked = "Say what the file is with --format." if format_ is None else f"There is no import format '{format_}'."
        offer = suggestion(format_ or "", importers, none_known="No installed plugin brings one.")
        raise UsageProblem(f"{asked} {offer} Bundles can't be imported yet; OpenLineage events are taken by 'tracecore events import'.")
    found = importers[format_]
    try:
        events = list(found.item.events(source))
    except (KeyboardInterrupt, TracecoreError):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        raise RunFailed(f"The importer '{format_}' of plugin '{found.entry_point}' failed: {reason_of(error)}.") from error
    with Record.open(workspace) as record:
        _, bad = checked(events, record.namespace)
        if bad:
            raise RunFailed(
                f"The importer '{format_}' of plugin '{found.entry_point}' gave an event that is none (event {bad[0].index}): {bad[0].reason}."
            )
        done = record.ingest(events)
    if done.refused:
        raise UsageProblem(f"{source.name}: event {done.refused[0].index}: {done.refused[0].reason}.")
    if as_json:
        emit_json({"recorded": done.recorded, "known": done.known, "refused": []})
        return
    click.echo(f"{done.recorded} events recorded, {done.known} known before")
