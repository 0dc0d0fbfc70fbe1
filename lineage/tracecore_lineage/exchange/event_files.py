"""Event files: export of all events or of those behind a build, and import of other producers' files.

A line is one event as compact JSON or, to preserve its bytes exactly, a wrapper with base64:
`{"event_sha256": <64 hex>, "recorded_at": <time>, "body": <base64>}`.
"""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore_lineage.bundle import writer
from tracecore_lineage.catalog.delegation import known_imports
from tracecore_lineage.catalog.prefix import head
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.events.parse import BadEvent, strict_json
from tracecore_lineage.exchange.ingest import Ingested, ingest
from tracecore_lineage.ledger import ledger
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.lineage import imported_leaves
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import find_build
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import Trace

__all__ = ["EventLine", "events_behind", "exact_line", "line_of", "read_events", "take_events"]

_WRAPPED = frozenset({"event_sha256", "recorded_at", "body"})


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event in a file: its bytes, and its place such as `events.ndjson:12`."""

    where: str
    body: bytes


def events_behind(connection: Connection, own: LedgerName, trace: Trace) -> Iterator[bytes]:
    """Yield the exact bytes of every event that a build's trace depends on, in the order of the ledger in which it was sealed.

    These are the events of the trace's runs, their checks and environments, up to the sealing. `own` is this workspace's ledger.
    """
    brought = next(known_imports(connection, trace["root"]), None)
    if brought is not None:
        yield from (leaf.body for leaf in imported_leaves(connection, brought) if leaf.seq <= trace["position"])
        return
    build = find_build(Reader(connection, head(connection)), parse_ref(trace["root"]))
    found = writer.events_behind(connection, own, trace, build.prefix, since=False)
    yield from (leaf.body for leaf in ledger.read_at(connection, sorted(found.values())))


def line_of(body: bytes) -> bytes:
    """Return an event as one line: its exact bytes if they have no line break, else the same JSON written compactly."""
    if b"\n" not in body and b"\r" not in body:
        return body
    return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()


def exact_line(leaf: ledger.Leaf) -> bytes:
    """Return an event as one line of JSON: its exact bytes in base64, their SHA-256, and the recorded time."""
    wrapped = {"event_sha256": leaf.event_id, "recorded_at": leaf.recorded_at, "body": base64.b64encode(leaf.body).decode()}
    return json.dumps(wrapped, separators=(",", ":")).encode()


def read_events(source: Path) -> list[EventLine]:
    """Return the events in a file, or in the `.json`, `.ndjson` and `.jsonl` files of a folder, sorted by name; invalid ones included.

    A `.json` file contains one event or a list of them, other files one event per line. Raises UsageError if `source` can't be read or has no event.
    """
    try:
        files = sorted(path for path in source.iterdir() if path.suffix in {".json", ".ndjson", ".jsonl"}) if source.is_dir() else [source]
        found = [line for file in files for line in _lines(file)]
    except OSError as error:
        raise UsageError(f"{source} can't be read: {(error.strerror or str(error)).lower()}.") from error
    if not found:
        raise UsageError(f"{source} holds no event: expected OpenLineage events, one a line.")
    return found


def _lines(file: Path) -> Iterator[EventLine]:
    data = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    parsed = None
    if file.suffix == ".json":
        with suppress(BadEvent):
            parsed = strict_json(data)
    if isinstance(parsed, list):
        yield from (EventLine(f"{file.name}[{place}]", json.dumps(each, ensure_ascii=False).encode()) for place, each in enumerate(parsed))
    elif file.suffix == ".json" and (parsed is not None or b"\n" not in data.strip()):
        yield EventLine(file.name, _unwrapped(data.strip()))
    else:
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                yield EventLine(f"{file.name}:{number}", _unwrapped(line.strip()))


def _unwrapped(line: bytes) -> bytes:
    """Return the event in a line written by `exact_line`; any other line, or one whose digest does not match, is returned unchanged."""
    try:
        parsed = strict_json(line)
        if not isinstance(parsed, dict) or set(parsed) != _WRAPPED:
            return line
        body = base64.b64decode(parsed["body"], validate=True)
    except (BadEvent, ValueError, TypeError):
        return line
    return body if ledger.event_id(body) == parsed["event_sha256"] else line


def take_events(recorder: RecordWriter, events: Sequence[EventLine], *, skip_invalid: bool = False) -> tuple[Ingested, list[str]]:
    """Record the events of a file: all or none, or with `skip_invalid` all that are accepted.

    Returns (counts, a text `<place>: <reason>` for each skipped event). Without `skip_invalid`, raises UsageError for an event that is invalid or
    that only this workspace may record.
    """
    done = ingest(recorder, [event.body for event in events], whole=not skip_invalid)
    if done.refused and not skip_invalid:
        first = done.refused[0]
        more = f" ({len(done.refused) - 1} more are bad too)" if len(done.refused) > 1 else ""
        raise UsageError(f"{events[first.index].where}: {first.reason}{more}. Nothing was recorded; --skip-invalid takes the others.")
    return done, [f"{events[refused.index].where}: {refused.reason}" for refused in done.refused]
