"""The file of a closed campaign: its log, whole, from which labels and their making are told again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore_labeling.campaign.log import Action, Entry
from tracecore_labeling.campaign.soundness import faults
from tracecore_labeling.campaign.state import CampaignState, state_of
from tracecore_schemas.campaign import CampaignFile
from tracecore_schemas.canonical import jcs
from tracecore_schemas.file_shapes import ShapeError, checked
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["FORMAT", "read_campaign", "write_campaign"]

FORMAT = "tracecore-campaign/1"


def write_campaign(entries: Iterable[Entry], path: Path) -> None:
    """Write a campaign's log, one entry a line, whole or not at all."""
    lines = [
        jcs({"seq": each.seq, "at": each.at, "action": each.action.value, "task": each.task, "who": each.who, "detail": each.detail}).decode()
        for each in entries
    ]
    text = f'{{"format": {json.dumps(FORMAT)}, "log": [\n' + ",\n".join(lines) + "\n]}\n"
    write_durably(path, text.encode())


def read_campaign(path: Path, name: str) -> CampaignState:
    """Read a closed campaign and check its log.

    Args:
        path: where it lies.
        name: what errors call it.

    Raises:
        UsageError: it is no campaign file, was not closed, or its log can't have happened (somebody edited it).
    """
    try:
        document = checked(_shape(), loads_strict(path.read_bytes()))
    except StrictJSONError as error:
        raise UsageError(f"The campaign file {name} is no strict JSON: {error}.") from error
    except ShapeError as error:
        raise UsageError(f"{name} is no campaign file, as 'tracecore label close' writes it: {error}.") from error
    entries = [_entry(each) for each in document["log"]]
    wrong = faults(entries)
    try:
        state = state_of(entries) if not wrong else None
    except (TypeError, ValueError) as error:  # settings of another version
        raise UsageError(f"The log of the campaign file {name} can't be read: {error}.") from error
    if state is None:
        raise UsageError(f"The log of the campaign file {name} can't have happened so: {wrong[0]}.")
    if not state.closed:
        raise UsageError(f"The campaign in {name} was not closed: close it with 'tracecore label close' and give the file that this writes.")
    return state


@cache
def _shape() -> TypeAdapter[Any]:
    return TypeAdapter(CampaignFile)


def _entry(written: Mapping[str, Any]) -> Entry:
    return Entry(written["seq"], written["at"], Action(written["action"]), written["task"], written["who"], written["detail"])
