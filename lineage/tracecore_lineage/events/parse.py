"""Strict parsing of event bytes: anything but a valid OpenLineage 2-0-2 event is refused with a reason.

Python's JSON parser accepts NaN, duplicate keys and lone surrogates, which other parsers may read differently; such bytes never enter the ledger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracecore.errors import UsageError
from tracecore_lineage.model import rfc3339
from tracecore_schemas.refs import Ref, RefError, parse_ref
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["BadEvent", "Event", "is_deleted", "parse_event", "ref_or_none", "strict_json"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST = 400
_TYPES = frozenset({"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"})


class BadEvent(UsageError):
    """Not a valid OpenLineage event. The reason is one line of what was expected and found, escaped and cut to 400 characters."""

    def __init__(self, reason: str) -> None:
        text = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
        super().__init__(text if text.isprintable() else "".join(_printable(letter) for letter in text))


@dataclass(frozen=True, slots=True)
class Event:
    """A validated event of kind `run`, `job` or `dataset`, parsed; `time` is its eventTime in UTC with six decimals.

    `run_id` is the lower-case id of a run event, else None; `type` its eventType (`OTHER` if it has none), else empty.
    """

    kind: str
    members: Mapping[str, Any]
    time: str
    run_id: str | None
    type: str


def is_deleted(facet: Any) -> bool:
    """Whether a facet has OpenLineage's deletion mark (`_deleted` is true)."""
    return isinstance(facet, dict) and facet.get("_deleted") is True


def ref_or_none(text: str) -> Ref | None:
    """Return a text parsed as a ref; None if the text is not a valid ref."""
    try:
        return parse_ref(text)
    except RefError:
        return None


def strict_json(body: bytes) -> Any:
    """Parse JSON strictly. Raises BadEvent for invalid UTF-8, NaN or infinity, duplicate keys, lone surrogates, U+0000, or deep nesting."""
    try:
        value = loads_strict(body)
        # Serialized again only if the bytes contain the escape, since `\\u0000` (an escaped backslash) is allowed.
        again = json.dumps(value, ensure_ascii=False) if b"\\u0000" in body else ""
    except StrictJSONError as error:
        raise BadEvent(f"expected JSON: {error}") from None
    if _NUL.search(again):
        raise BadEvent("expected texts without U+0000, which databases can't keep")
    return value


def parse_event(body: bytes) -> Event:
    """Parse one event. Raises BadEvent if it is not a valid OpenLineage 2-0-2 event."""
    members = strict_json(body)
    if not isinstance(members, dict):
        raise BadEvent(f"expected one event, a JSON object, found {_word(members)}")
    for name in ("eventTime", "producer", "schemaURL"):
        _text(members, name, "the event")
    try:
        time = rfc3339.parse_instant(members["eventTime"])
    except ValueError as error:
        raise BadEvent(f"eventTime: {error}") from None
    if "run" in members:
        run_id = _run(members)
        _job(members)
        _datasets(members)
        return Event("run", members, time, run_id, members.get("eventType", "OTHER"))
    if "job" in members:
        _job(members)
        _datasets(members)
        return Event("job", members, time, None, "")
    if "dataset" in members:
        _dataset(members["dataset"], "dataset")
        return Event("dataset", members, time, None, "")
    raise BadEvent("expected a run, a job or a dataset in the event, found none")


def _run(members: Mapping[str, Any]) -> str:
    """Check a run event's `run` and `eventType`; return the run id in lower case. Raises BadEvent if they are not valid."""
    run = _object(members, "run", "the event")
    run_id = _text(run, "runId", "run")
    if not _UUID.fullmatch(run_id):
        raise BadEvent(f"run.runId: expected a UUID, found {run_id!r}")
    _facets(run, "facets", "run")
    if "eventType" in members and not (isinstance(members["eventType"], str) and members["eventType"] in _TYPES):
        raise BadEvent(f"eventType: expected one of {', '.join(sorted(_TYPES))}, found {_word(members['eventType'])}")
    return run_id.lower()


def _job(members: Mapping[str, Any]) -> None:
    """Check that an event has a `job` with namespace, name and valid facets. Raises BadEvent if not."""
    job = _object(members, "job", "the event")
    _text(job, "namespace", "job")
    _text(job, "name", "job")
    _facets(job, "facets", "job")


def _datasets(members: Mapping[str, Any]) -> None:
    """Check that an event's inputs and outputs, if present, are lists of valid datasets. Raises BadEvent if not."""
    for name in ("inputs", "outputs"):
        entries = members.get(name, [])
        if not isinstance(entries, list):
            raise BadEvent(f"{name}: expected a list of datasets, found {_word(entries)}")
        for place, entry in enumerate(entries):
            _dataset(entry, f"{name}[{place}]")
            _facets(entry, "inputFacets" if name == "inputs" else "outputFacets", f"{name}[{place}]")


def _dataset(entry: Any, where: str) -> None:
    """Check that `entry` is a dataset with namespace, name and valid facets. Raises BadEvent, which names its place `where`, if not."""
    if not isinstance(entry, dict):
        raise BadEvent(f"{where}: expected a dataset, a JSON object, found {_word(entry)}")
    _text(entry, "namespace", where)
    _text(entry, "name", where)
    _facets(entry, "facets", where)
    found = (entry.get("facets") or {}).get("version")
    if found is not None and not is_deleted(found):
        _text(found, "datasetVersion", f"{where}.facets.version")


def _facets(owner: Mapping[str, Any], member: str, where: str) -> None:
    """Check that `member`, if present, maps names to facets with `_producer` and `_schemaURL`. Raises BadEvent, with the place `where`, if not."""
    found = owner.get(member, {})
    if not isinstance(found, dict):
        raise BadEvent(f"{where}.{member}: expected facets by name, found {_word(found)}")
    for name, facet in found.items():
        place = f"{where}.{member}.{name}"
        if not isinstance(facet, dict):
            raise BadEvent(f"{place}: expected a facet, a JSON object, found {_word(facet)}")
        _text(facet, "_producer", place)
        _text(facet, "_schemaURL", place)


def _object(owner: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return the member `name` of `owner`. Raises BadEvent, with the place `where`, if it is missing or not a JSON object."""
    value = owner.get(name)
    if not isinstance(value, dict):
        raise BadEvent(f"{where}: expected an object '{name}', found {_word(value)}")
    return value


def _text(owner: Mapping[str, Any], name: str, where: str) -> str:
    """Return the member `name` of `owner`. Raises BadEvent, with the place `where`, if it is not a string or is empty."""
    value = owner.get(name)
    if not isinstance(value, str) or not value:
        raise BadEvent(f"{where}: expected a text '{name}', found {_word(value)}")
    return value


def _printable(letter: str) -> str:
    """Return the character `letter`, as an escape sequence if it is not printable."""
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _word(value: Any) -> str:
    """Return a JSON value as text for error messages; a list or object is shown only as `a list` or `an object`."""
    if value is None:
        return "none"
    if isinstance(value, (str, int, float)):
        return repr(value)
    return "a list" if isinstance(value, list) else "an object"
