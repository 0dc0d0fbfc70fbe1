"""`tracecore checkpoint`: the signed head of the ledger."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.errors import UsageProblem
from tracecore.options import emit_json, json_option, say, workspace_option

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore checkpoint -o today.checkpoint
  tracecore verify --checkpoint today.checkpoint    # later: nothing before it was rewritten
"""


@click.command(name="checkpoint", epilog=_EXAMPLES)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file instead of stdout.")
@workspace_option
@json_option
def command(output: Path | None, workspace: Path | None, as_json: bool) -> None:
    """Give the signed head of the ledger: its size and Merkle root, as a C2SP signed note.

    Kept elsewhere, it proves later that nothing recorded before it was changed or taken out.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.checkpoint import parse

    with Record.open(workspace) as record:
        note = record.checkpoint()
    if output is not None:
        try:
            output.write_text(note, encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"The checkpoint can't be written to {output}: {error.strerror or error}.") from error
    head = parse(note)
    if as_json:
        emit_json({"origin": head.origin, "size": head.size, "root": head.root.hex(), "note": note, "file": None if output is None else str(output)})
    elif output is None:
        click.echo(note, nl=False)
    else:
        say(f"Wrote the checkpoint over {head.size} events to {output}.")
