"""The options by which a caller says whose signatures are believed."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["key_option", "threshold_option"]

key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PUB",
    help="The public key that must have signed ('key export' where it was sealed); repeatable.",
)
threshold_option = click.option("--threshold", type=int, metavar="M", help="How many of several --key must have signed; all of them by default.")
