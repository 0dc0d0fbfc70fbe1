"""Shared parts of the commands `tracecore label`: options, reading label files, opening campaigns."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from tracecore import NamedWorkspace, Workspace
from tracecore.cli import plugin_setting
from tracecore.errors import UsageError, suggestion
from tracecore_labeling.campaign.clock import WallClock
from tracecore_labeling.campaign.queue import Queue
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["campaign_names", "campaign_option", "file_option", "labeler_option", "new_campaign_path", "open_campaign", "read_json"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _folder(workspace: NamedWorkspace) -> Path:
    return Workspace.open(workspace).root / "campaigns"


def campaign_names(workspace: NamedWorkspace) -> list[str]:
    """Return the names of a workspace's campaigns, sorted."""
    return sorted(path.stem for path in _folder(workspace).glob("*.db") if _has_campaign(path))


def new_campaign_path(workspace: NamedWorkspace, name: str) -> Path:
    """Return the file path of a new campaign, creating its folder. Raises UsageError if the name is not valid, or is taken."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' can't be a campaign's name: expected lower-case letters, digits, '.', '_' and '-', like night-boxes.")
    path = _folder(workspace) / f"{name}.db"
    if path.exists() and _has_campaign(path):
        raise UsageError(f"There is a campaign '{name}' already: choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _has_campaign(path: Path) -> bool:
    """Whether a campaign was created in a database file. A killed command may leave a file with empty tables."""
    queue = Queue(path, WallClock())
    try:
        return queue.exists()
    finally:
        queue.close_file()


@contextmanager
def open_campaign(workspace: NamedWorkspace, name: str | None = None, *, task: str | None = None) -> Iterator[Queue]:
    """Open for the block the campaign `name`, else the one with `task`, else the only open one. Raises UsageError unless exactly one matches."""
    known = campaign_names(workspace)
    if name is not None and name not in known:
        made = "make one with 'tracecore label campaign create'."
        raise UsageError(f"There is no campaign '{name}'. {suggestion(name, known, none_known=f'There are none: {made}')}")
    queues = {each: Queue(_folder(workspace) / f"{each}.db", WallClock()) for each in ([name] if name is not None else known)}
    try:
        yield _meant(queues, task) if name is None else queues[name]
    finally:
        for queue in queues.values():
            queue.close_file()


def _meant(queues: dict[str, Queue], task: str | None) -> Queue:
    if not queues:
        raise UsageError(
            "There are no campaigns in this workspace: make one with 'tracecore label campaign create NAME --frames REF --guideline VERSION'."
        )
    if task is not None:
        fitting = [name for name, queue in queues.items() if queue.has(task)]
        if not fitting:
            raise UsageError(f"No campaign has the task '{task}'. Campaigns: {', '.join(queues)}.")
    else:
        fitting = [name for name, queue in queues.items() if not queue.is_closed()]
        if not fitting:
            raise UsageError(f"Every campaign is closed ({', '.join(queues)}): make one with 'tracecore label campaign create'.")
    if len(fitting) > 1:
        raise UsageError(f"Several campaigns are open ({', '.join(fitting)}): say which with --campaign.")
    return queues[fitting[0]]


F = TypeVar("F", bound=Callable[..., Any])


labeler_option = click.option(
    "--as", "who", metavar="PSEUDONYM", default=lambda: plugin_setting("LABELER"), help="Your pseudonym (else TRACECORE_LABELER)."
)
"""The option `--as PSEUDONYM`, passed as `who: str | None`."""

campaign_option = click.option("--campaign", metavar="NAME", default=None, help="Which campaign; needed where several are open.")
"""The option `--campaign NAME`, passed as `campaign: str | None`."""


def file_option(required: bool) -> Callable[[F], F]:
    """Return a decorator that adds the option `--file FILE|-`, passed as `file: str | None`."""
    return click.option("--file", metavar="FILE|-", required=required, default=None, help="Labels as JSON; '-' reads them from stdin.")


def read_json(file: str) -> object:
    """Return the JSON value in a file, or in stdin for `-`. Raises UsageError if the file can't be read, or is not strict JSON."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return loads_strict(data)
    except OSError as error:
        raise UsageError(f"The label file '{file}' can't be read: {(error.strerror or str(error)).lower()}.") from error
    except StrictJSONError as error:
        raise UsageError(f"The labels in '{file}' are not strict JSON: {error}.") from error
