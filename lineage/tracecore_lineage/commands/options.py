"""Options shared by commands, and errors about files named by users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tracecore.cli import say
from tracecore.errors import UsageError

__all__ = [
    "FILE",
    "as_of_option",
    "deliver",
    "depth_option",
    "form_option",
    "key_option",
    "output_option",
    "read_file",
    "threshold_option",
    "writing",
]

FILE = click.Path(path_type=Path, dir_okay=False)

output_option = click.option("-o", "--output", type=FILE, metavar="FILE", help="Write to a file instead of stdout.")
as_of_option = click.option("--as-of", metavar="TIME", help="The record as of a recorded time (ISO 8601, UTC without an offset).")
depth_option = click.option("--depth", type=int, metavar="N", help="Follow N levels of runs; the answer says that it was cut.")
form_option = click.option(
    "--format", "form", type=click.Choice(["tree", "json", "mermaid", "dot"]), default="tree", show_default=True, help="How to print it."
)
key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    type=FILE,
    metavar="PUB",
    help="The public key that must have signed ('key export' where it was sealed); repeatable.",
)
threshold_option = click.option("--threshold", type=int, metavar="M", help="How many of several --key must have signed; all of them by default.")


def read_file(path: Path, what: str) -> bytes:
    """Return a file's bytes; `what` names it in the UsageError if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"The {what} {path} can't be read: {(error.strerror or str(error)).lower()}.") from None


@contextmanager
def writing(what: str, path: Path) -> Iterator[None]:
    """Convert an OSError inside the block to a UsageError that the file can't be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"The {what} can't be written to {path}: {error.strerror or error}.") from error


def deliver(text: str, output: Path | None, what: str, *, as_json: bool = False) -> None:
    """Write a text to a file and report it on stderr, or print it without a file; with `as_json` write the file only."""
    if output is not None:
        with writing("answer", output):
            output.write_text(text, encoding="utf-8")
    if as_json:
        return
    if output is None:
        click.echo(text, nl=False)
    else:
        say(f"Wrote the {what} to {output}.")
