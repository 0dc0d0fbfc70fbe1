"""Options shared by commands, and errors about files named by users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracecore.cli import emit_json, progress_bar, say
from tracecore.errors import UsageError

if TYPE_CHECKING:
    from tracecore_lineage.model.findings import Progress

__all__ = [
    "FILE",
    "as_of_option",
    "deliver",
    "depth_option",
    "form_option",
    "key_option",
    "output_option",
    "progress",
    "threshold_option",
    "writing",
]

FILE = click.Path(path_type=Path, dir_okay=False)

output_option = click.option("-o", "--output", type=FILE, metavar="FILE", help="Write to a file instead of stdout.")
as_of_option = click.option("--as-of", metavar="TIME", help="Use the record as it was at this time (ISO 8601; UTC if no offset is given).")
depth_option = click.option("--depth", type=int, metavar="N", help="Follow at most N levels of runs; a shortened answer is marked as cut.")
form_option = click.option(
    "--format", "form", type=click.Choice(["tree", "json", "mermaid", "dot"]), default="tree", show_default=True, help="Output format."
)
key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    type=FILE,
    metavar="PUB",
    help="Public key that must have signed the build ('tracecore key export' where it was sealed); repeatable.",
)
threshold_option = click.option("--threshold", type=int, metavar="M", help="Number of --key keys that must have signed; all by default.")


@contextmanager
def progress(first: str, verb: str) -> Iterator[Progress]:
    """Show a progress bar on stderr during a block; yield a function `(amount done, total, last item)` that advances it.

    Args:
        first: text of the bar before the first call.
        verb: past participle shown before the last item, for example "verified".
    """
    with progress_bar() as bar:
        task = bar.add_task(first, total=None)
        yield lambda done, total, last: bar.update(task, completed=done, total=total, description=f"{verb} {last.partition('@')[0][:60]}")


@contextmanager
def writing(what: str, path: Path) -> Iterator[None]:
    """Convert an OSError in the block to a UsageError that the file `path`, described by `what`, can't be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"The {what} can't be written to {path}: {error.strerror or error}.") from error


def deliver(text: str, output: Path | None, what: str, document: Mapping[str, Any] | None = None) -> None:
    """Write `text` to the file `output` and report on stderr that `what` was written; print the text if `output` is None.

    With `document`, print that object as JSON instead of the text or report, with the member `file` (path or None) added.
    """
    if output is not None:
        with writing("answer", output):
            output.write_text(text, encoding="utf-8")
    if document is not None:
        emit_json({**document, "file": None if output is None else str(output)})
    elif output is None:
        click.echo(text, nl=False)
    else:
        say(f"Wrote the {what} to {output}.")
