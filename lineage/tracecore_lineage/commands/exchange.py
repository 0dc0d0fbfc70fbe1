"""`tracecore export`, `tracecore import` and `tracecore events`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, key_option, output_option, progress, threshold_option, writing

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_lineage.ledger.database import Database
    from tracecore_schemas.build import SealedBuild
    from tracecore_schemas.trace import Trace

__all__ = ["events_command", "export_command", "import_command"]

_EXPORT_EXAMPLES = """
\b
Examples:
  tracecore export build/demo --format openlineage -o demo.ndjson    # the events behind its trace
  tracecore export build/demo --format in-toto -o demo.intoto.json   # the signed envelope
  tracecore export build/demo --format bundle -o demo.bundle         # one file that verifies without the workspace
  tracecore export build/demo --format slsa -o demo.slsa.jsonl       # SLSA provenance and test results
  tracecore export build/demo --format cyclonedx -o demo.cdx.json    # plugin tracecore-evidence
  tracecore export build/demo --format prov -o demo.prov.json
"""

Writer = Callable[["Record", "SealedBuild", "Trace", Path], None]


@click.command(name="export", epilog=_EXPORT_EXAMPLES)
@click.argument("build")
@click.option(
    "--format", "format_", required=True, metavar="FORMAT", help="openlineage, in-toto, bundle, slsa, or a plugin's format (cyclonedx, prov)."
)
@click.option("-o", "--output", type=FILE, required=True, metavar="PATH", help="The file to write.")
@workspace_option
@json_option
def export_command(build: str, format_: str, output: Path, workspace: NamedWorkspace, as_json: bool) -> None:
    """Write the evidence of a sealed build in a format for other tools. The file is written completely or not at all."""
    from urllib.parse import unquote

    from tracecore_lineage.bundle.writer import whole_file
    from tracecore_lineage.seal.seal import sealed_build

    write = _writer(format_, workspace.settings)
    with tracecore_lineage.Record.open(workspace) as record:
        trace = record.trace(build if "/" in build else f"build/{build}")
        kind, _, name = trace["root"].partition("@")[0].partition("/")
        sealed = record.query(sealed_build, unquote(name)) if kind == "build" else None
        if sealed is None:
            raise UsageError(f"{trace['root']} is not a build: only builds are exported; 'tracecore trace --json' describes anything else.")
        with writing("export", output), whole_file(output) as temporary:
            write(record, sealed, trace, temporary)
    if as_json:
        emit_json({"build": sealed.ref, "format": format_, "file": str(output), "size_bytes": output.stat().st_size})
        return
    say(f"Wrote {sealed.ref} as {format_} to {output}.")


def _openlineage(record: Record, _sealed: SealedBuild, trace: Trace, path: Path) -> None:
    from tracecore_lineage.exchange.event_files import events_behind, line_of

    with path.open("wb") as stream, record.database.read() as connection:
        stream.writelines(line_of(body) + b"\n" for body in events_behind(connection, record.ledger, trace))


def _in_toto(record: Record, sealed: SealedBuild, _trace: Trace, path: Path) -> None:
    from tracecore_lineage.catalog.signatures import signed_envelope

    with record.database.read() as connection:
        envelope = signed_envelope(connection, sealed)
    path.write_text(json.dumps(envelope, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _slsa(record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
    from tracecore_lineage.seal.attestations import attestations

    lines = [json.dumps(envelope, separators=(",", ":")) for envelope in attestations(record.recorder, sealed, trace)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _bundle(record: Record, sealed: SealedBuild, _trace: Trace, path: Path) -> None:
    from tracecore_lineage.bundle.writer import export_bundle

    with progress("reading the ledger", "wrote") as show:
        export_bundle(record.recorder, sealed.ref, path, progress=show)


_CORE: Mapping[str, Writer] = {"openlineage": _openlineage, "in-toto": _in_toto, "bundle": _bundle, "slsa": _slsa}


def _writer(format_: str, settings: Settings) -> Writer:
    """Return the function that writes a build in `format_`, tracecore's own or a plugin's. Raises UsageError if there is no such format."""
    if format_ in _CORE:
        return _CORE[format_]
    from tracecore.errors import suggestion
    from tracecore.plugins.host import PluginHost

    host = PluginHost.load(settings)
    found = host.exporter(format_)
    if found is None:
        raise UsageError(f"There is no export format '{format_}' here. {suggestion(format_, [*_CORE, *host.exporters])}")
    exporter = f"The exporter '{format_}' of plugin '{found.entry_point}'"

    def write(_record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
        with _of_plugin(exporter, OSError):
            found.item.export(trace, sealed.statement["predicate"], path)
        if not path.is_file():
            raise RunFailed(f"{exporter} ended without writing its file.")

    return write


@contextmanager
def _of_plugin(what: str, *passed: type[BaseException]) -> Iterator[None]:
    """Convert exceptions in the block to RunFailed, naming the plugin's part `what`; KeyboardInterrupt, TracecoreError and `passed` pass."""
    from tracecore.system.failures import reason_of

    try:
        yield
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        if isinstance(error, (KeyboardInterrupt, TracecoreError, *passed)):
            raise
        raise RunFailed(f"{what} failed: {reason_of(error)}.") from error


_BUNDLE = "bundle"
_IMPORT_EXAMPLES = """
\b
Examples:
  tracecore import demo.bundle --key vendor.pub    # a build sealed in another workspace, with its seal
  tracecore import dvc.lock --format dvc           # plugin tracecore-evidence
  tracecore events import events.ndjson            # OpenLineage events
"""


@click.command(name="import", epilog=_IMPORT_EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--format", "format_", metavar="FORMAT", help="Format of the file: bundle (the default), or a plugin's format (dvc).")
@key_option
@threshold_option
@workspace_option
@json_option
@click.pass_context
def import_command(
    ctx: click.Context, source: Path, format_: str | None, keys: tuple[Path, ...], threshold: int | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Import a build from another workspace's bundle, or a file of another tool as OpenLineage events.

    A bundle is verified first: if anything in it differs from what was sealed, the command exits with 1 and records nothing. A file is imported
    completely or not at all, and importing it again changes nothing: the bundle of a build that is already in the workspace is not verified again.
    """
    if not source.exists():
        raise UsageError(f"There is no file {source} to import.")
    if format_ is None and source.suffix != ".bundle" and not _is_zip(source):
        raise UsageError(f"{source} is not a bundle. Name its format with --format. {_offer('', workspace.settings)}")
    if format_ in {None, _BUNDLE}:
        _take_bundle(ctx, source, keys, threshold, workspace, as_json=as_json)
        return
    if keys or threshold is not None:
        raise UsageError("--key and --threshold are for signed bundles; other files are not signed.")
    _take_file(source, str(format_), workspace, as_json=as_json)


def _is_zip(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False


def _offer(format_: str, settings: Settings) -> str:
    from tracecore.errors import suggestion
    from tracecore.plugins.host import PluginHost

    return suggestion(format_, [_BUNDLE, *PluginHost.load(settings).importers]) + " OpenLineage events are taken by 'tracecore events import'."


def _take_bundle(
    ctx: click.Context, source: Path, keys: tuple[Path, ...], threshold: int | None, workspace: NamedWorkspace, *, as_json: bool
) -> None:
    from tracecore_lineage.exchange.importer import ImportRefused, import_bundle

    with tracecore_lineage.Record.open(workspace) as record, progress("reading the bundle", "verified") as show:
        try:
            done = import_bundle(record.recorder, source, key=keys or None, threshold=threshold, progress=show)
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
    from tracecore_lineage.exchange.ingest import checked

    found = PluginHost.load(workspace.settings).importer(format_)
    if found is None:
        raise UsageError(f"There is no import format '{format_}'. {_offer(format_, workspace.settings)}")
    importer = f"The importer '{format_}' of plugin '{found.entry_point}'"
    with _of_plugin(importer):
        events = list(found.item.events(source))
    with tracecore_lineage.Record.open(workspace) as record:
        _, bad = checked(events, record.ledger)
        if bad:
            raise RunFailed(f"{importer} gave an event that is none (event {bad[0].index}): {bad[0].reason}.")
        done = record.ingest(events, whole=True)
    if done.refused:
        raise UsageError(f"{source.name}: event {done.refused[0].index}: {done.refused[0].reason}. Nothing was recorded.")
    if as_json:
        emit_json({"recorded": done.recorded, "known": done.known, "refused": []})
        return
    click.echo(f"{done.recorded} events recorded, {done.known} known before")


_EVENTS_EXAMPLES = """
\b
Examples:
  tracecore events export -o events.ndjson
  tracecore events export --exact -o exact.ndjson    # byte for byte, in base64
  tracecore events import from-airflow.ndjson
  tracecore events import folder-of-events --skip-invalid
"""


@click.group(name="events", epilog=_EVENTS_EXAMPLES)
def events_command() -> None:
    """Import OpenLineage events of other producers into the record, or export the record's own events, one per line."""


@events_command.command(name="import", epilog="\b\nExample:\n  tracecore events import from-airflow.ndjson --json")
@click.argument("source", type=click.Path(path_type=Path, exists=True), metavar="FILE|DIR")
@click.option("--skip-invalid", is_flag=True, help="Skip and report invalid lines, instead of refusing the whole file.")
@workspace_option
@json_option
def import_(source: Path, skip_invalid: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Record the events of a file (one per line) or of a folder of .json, .ndjson and .jsonl files.

    If a line is invalid, nothing is recorded, and the error names the line and the reason. An event that is already in the record, byte for byte,
    is not recorded again.
    """
    from tracecore_lineage.exchange.event_files import read_events, take_events

    events = read_events(source)
    with tracecore_lineage.Record.open(workspace) as record:
        done, refused = take_events(record.recorder, events, skip_invalid=skip_invalid)
    if as_json:
        emit_json({"recorded": done.recorded, "known": done.known, "refused": refused})
        return
    for each in refused:
        say(f"left out {each}")
    click.echo(f"{done.recorded} events recorded, {done.known} known before, {len(refused)} left out")


@events_command.command(name="export", epilog="\b\nExample:\n  tracecore events export -o events.ndjson")
@output_option
@click.option("--exact", is_flag=True, help="Wrap each event's exact bytes in base64, with its digest and recorded time.")
@workspace_option
def export(output: Path | None, exact: bool, workspace: NamedWorkspace) -> None:
    """Write every event of the ledger, in ledger order, one per line."""
    with tracecore_lineage.Record.open(workspace) as record:
        if output is None:
            _write_events(record.database, sys.stdout.buffer, exact=exact)
            return
        with writing("events", output), output.open("wb") as stream:
            count = _write_events(record.database, stream, exact=exact)
    say(f"Wrote {count} events to {output}.")


def _write_events(database: Database, stream: BinaryIO, *, exact: bool) -> int:
    from tracecore_lineage.exchange.event_files import exact_line, line_of
    from tracecore_lineage.ledger import ledger

    count = 0
    with database.read() as connection:
        for leaf in ledger.read(connection):
            stream.write((exact_line(leaf) if exact else line_of(leaf.body)) + b"\n")
            count += 1
    return count
