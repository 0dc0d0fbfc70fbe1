"""`tracecore export`: a build's evidence for others' tools."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, progress_bar, say, workspace_option
from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_schemas.build import SealedBuild
    from tracecore_schemas.trace import Trace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore export build/demo --format openlineage -o demo.ndjson    # the events its trace stands on
  tracecore export build/demo --format in-toto -o demo.intoto.json   # the signed envelope
  tracecore export build/demo --format bundle -o demo.bundle         # one file that verifies without the workspace
  tracecore export build/demo --format slsa -o demo.slsa.jsonl       # SLSA provenance and test results
  tracecore export build/demo --format cyclonedx -o demo.cdx.json    # plugin tracecore-evidence
  tracecore export build/demo --format prov -o demo.prov.json
"""

Writer = Callable[["Record", "SealedBuild", "Trace", Path], None]


@click.command(name="export", epilog=_EXAMPLES)
@click.argument("build")
@click.option(
    "--format", "format_", required=True, metavar="FORMAT", help="openlineage, in-toto, bundle, slsa, or one that a plugin brings (cyclonedx, prov)."
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="PATH", help="The file to write.")
@workspace_option
@json_option
def command(build: str, format_: str, output: Path, workspace: NamedWorkspace, as_json: bool) -> None:
    """Write the evidence of a sealed build in a format that others' tools read. The file is whole or it is not there."""
    from tracecore_lineage import Record

    write = _writer(format_, workspace.settings)
    with Record.open(workspace) as record:
        trace = record.trace(build if "/" in build else f"build/{build}")
        kind, _, name = trace["root"].partition("@")[0].partition("/")
        sealed = record.build(_decoded(name)) if kind == "build" else None
        if sealed is None:
            raise UsageError(f"{trace['root']} is no build: a build's evidence is exported, of anything else 'tracecore trace --json' tells.")
        temporary = output.with_name(f".{output.name}.{os.getpid()}.part")  # of its own: another process may write the same file
        try:
            write(record, sealed, trace, temporary)
            temporary.replace(output)
        except OSError as error:
            raise UsageError(f"The export can't be written to {output}: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):  # what stands in its way was said
                temporary.unlink(missing_ok=True)
    if as_json:
        emit_json({"build": sealed.ref, "format": format_, "file": str(output), "size_bytes": output.stat().st_size})
        return
    say(f"Wrote {sealed.ref} as {format_} to {output}.")


def _decoded(name: str) -> str:
    from urllib.parse import unquote

    return unquote(name)


def _openlineage(record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
    from tracecore_lineage.interchange import events_behind, line_of

    del sealed
    with path.open("wb") as stream:
        stream.writelines(line_of(body) + b"\n" for body in events_behind(record, trace))


def _in_toto(record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
    from tracecore_lineage.queries.signing import signed_envelope

    del trace
    with record.database.read() as connection:
        envelope = signed_envelope(connection, sealed)
    path.write_text(json.dumps(envelope, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _slsa(record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
    from tracecore_lineage.sealing.attestations import attestations

    lines = [json.dumps(envelope, separators=(",", ":")) for envelope in attestations(record, sealed, trace)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _bundle(record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
    del trace
    with progress_bar() as bar:
        task = bar.add_task("reading the ledger", total=None)
        record.export_bundle(
            sealed.ref, path, progress=lambda done, total, name: bar.update(task, completed=done, total=total, description=f"wrote {name[:60]}")
        )


_CORE: Mapping[str, Writer] = {"openlineage": _openlineage, "in-toto": _in_toto, "bundle": _bundle, "slsa": _slsa}


def _writer(format_: str, settings: Settings) -> Writer:
    """Find what writes a format: the core's own, else a plugin's."""
    if format_ in _CORE:
        return _CORE[format_]
    from tracecore.errors import suggestion
    from tracecore.plugins.host import PluginHost

    host = PluginHost.load(settings)
    found = host.exporter(format_)
    if found is None:
        raise UsageError(f"There is no export format '{format_}' here. {suggestion(format_, [*_CORE, *host.exporters])}")

    def write(record: Record, sealed: SealedBuild, trace: Trace, path: Path) -> None:
        from tracecore.system.failures import reason_of

        del record
        try:
            found.item.export(trace, sealed.statement["predicate"], path)
        except (KeyboardInterrupt, TracecoreError, OSError):
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            raise RunFailed(f"The exporter '{format_}' of plugin '{found.entry_point}' failed: {reason_of(error)}.") from error
        if not path.is_file():
            raise RunFailed(f"The exporter '{format_}' of plugin '{found.entry_point}' ended without writing its file.")

    return write
