"""What commands of `tracecore label` share: who acts, which campaign, files of labels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tracecore.cli import plugin_setting
from tracecore.errors import UsageError
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["campaign_option", "file_option", "read_json", "who_option"]

F = TypeVar("F", bound=Callable[..., Any])


def who_option(function: F) -> F:
    """Add `--as PSEUDONYM`; the command gets `who: str | None`."""
    return click.option(
        "--as", "who", metavar="PSEUDONYM", default=lambda: plugin_setting("LABELER"), help="Who you are, by a pseudonym (else TRACECORE_LABELER)."
    )(function)


def campaign_option(function: F) -> F:
    """Add `--campaign NAME`; the command gets `campaign: str | None`."""
    return click.option("--campaign", metavar="NAME", default=None, help="Which campaign; needed where several are open.")(function)


def file_option(required: bool) -> Callable[[F], F]:
    """Add `--file FILE|-`; the command gets `file: str | None`."""
    return click.option("--file", metavar="FILE|-", required=required, default=None, help="Labels as JSON; '-' reads them from stdin.")


def read_json(file: str) -> object:
    """Read strict JSON from a file, or from stdin for '-'.

    Raises:
        UsageError: it can't be read, or is no strict JSON.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return loads_strict(data)
    except OSError as error:
        raise UsageError(f"The label file '{file}' can't be read: {(error.strerror or str(error)).lower()}.") from error
    except StrictJSONError as error:
        raise UsageError(f"The labels in '{file}' are no strict JSON: {error}.") from error
