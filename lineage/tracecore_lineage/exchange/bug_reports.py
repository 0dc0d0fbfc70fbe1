"""Records reports of perception bugs.

A report is a run of job `tracecore.bug` that reads the build and the logs of the frames' drives, in exact versions, and makes `bug/<id>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.prefix import head, readable_catalog
from tracecore_lineage.trace.bugs import find_bug
from tracecore_lineage.trace.facts import Link
from tracecore_lineage.trace.lineage import trace
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import build_named, read_ref
from tracecore_lineage.trace.show_rows import check_frame
from tracecore_lineage.trace.start import frame_reading
from tracecore_schemas.canonical import JSON, digest_json, hex_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, RunInput
from tracecore_schemas.trace import Bug, BugSeverity

if TYPE_CHECKING:
    from tracecore_lineage.catalog.recorder import RecordWriter

__all__ = ["Reported", "bug_id", "report_bug"]

_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Reported:
    """Result of a report; `new` is False if the same bug had been reported before."""

    bug: Bug
    new: bool


def bug_id(text: str, build: str | None, frames: Sequence[str], severity: str | None) -> str:
    """Return a bug's id: the first 12 hex digits of the SHA-256 of its content as canonical JSON.

    Time and reporter are not included, so that repeating a report gives the same bug.
    """
    content: JSON = {"v": 1, "type": "tracecore.bug", "text": text, "build": build, "frames": sorted(frames), "severity": severity}
    return hex_of(digest_json(content))[:_DIGITS]


def report_bug(
    recorder: RecordWriter,
    text: str,
    *,
    build: str | None = None,
    frames: Sequence[str] = (),
    severity: str | None = None,
    reporter: str | None = None,
) -> Reported:
    """Record a bug durably; repeating the same report returns the existing bug.

    Args:
        text: description of what was seen.
        build: name or ref of the build it was seen in.
        frames: refs of frames that show it.
        severity: `low`, `medium`, `high` or `critical`.
        reporter: name of the person, recorded as a pseudonym.

    Raises:
        UsageError: empty text, unknown severity, or a build or frame that is not in the record, with the nearest match.
    """
    description = text.strip()
    if not description:
        raise UsageError("A bug without a text can't be recorded: expected one sentence that says what was seen, such as 'cyclist missed at dusk'.")
    try:
        judged = None if severity is None else BugSeverity(severity)
    except ValueError:
        raise UsageError(f"{severity!r} is not a severity: expected {', '.join(BugSeverity)}.") from None
    with recorder.database.read() as connection, readable_catalog():
        seen_in = _build(connection, build)
        shown, drives = _frames(recorder, connection, frames, seen_in)
    identity = bug_id(description, None if seen_in is None else seen_in.ref, shown, judged)
    with recorder.database.write() as connection:
        existing = find_bug(connection, identity)
        if existing is not None:
            return Reported(existing, new=False)
        from tracecore_lineage.model.facets import TracecoreBugDatasetFacet, producer

        pseudonym = None if reporter is None else pseudonyms.pseudonym_of(connection, reporter)
        build_ref, judgement = None if seen_in is None else seen_in.ref, None if judged is None else judged.value
        facet = TracecoreBugDatasetFacet(identity, description, build_ref, shown, judgement, pseudonym, producer=producer())
        inputs = [_input(link) for link in (*((seen_in,) if seen_in else ()), *drives)]
        recorder.append_fact(connection, "bug", datetime.now(UTC), inputs=inputs, outputs={f"bug/{identity}": {"tracecore_bug": facet}})
        made = find_bug(connection, identity)
    if made is None:
        raise UsageError(f"bug/{identity} was recorded and can't be read back: run 'tracecore replay --check'.")
    return Reported(made, new=True)


def _build(connection: Connection, name: str | None) -> Link | None:
    """Return the build that a bug was seen in as an input edge of the report's run; None without a name."""
    if name is None:
        return None
    reader = Reader(connection, head(connection))
    found = build_named(reader, name)
    return Link("", found.ref, "input", "build", found.run, "", "", found.seq, 0)


def _frames(recorder: RecordWriter, connection: Connection, frames: Sequence[str], build: Link | None) -> tuple[list[str], list[Link]]:
    """Return the refs of valid frames in order without duplicates, and an input edge per drive log. Raises UsageError for an unknown frame."""
    reader = Reader(connection, head(connection))
    shown: dict[str, None] = {}
    drives: dict[str, Link] = {}
    if not frames:
        return [], []
    from tracecore.store import open_store  # brings pyarrow along, which a bug without frames doesn't need

    store = open_store(recorder.workspace)
    logs = {} if build is None else _logs(connection, build.ref)
    for text in frames:
        ref = read_ref(reader, text)
        if ref.kind != "frame":
            raise UsageError(f"{text!r} is not a frame: expected frame/<drive>/<sensor>/<timestamp_ns>.")
        reading = frame_reading(reader, ref, logs.get(ref.segments[0]))
        check_frame(reader, store, recorder.ledger, ref, reading)
        shown[str(ref)] = None
        drives[reading.ref] = Link("", reading.ref, "input", "frame", reading.producer_run, "", "", reading.seq, 0)
    return list(shown), [drives[ref] for ref in sorted(drives)]


def _logs(connection: Connection, build: str) -> dict[str, str]:
    """Return, by drive, the version of its log in a build's trace."""
    return {parse_ref(node["ref"]).segments[0]: node["ref"] for node in trace(connection, build)["nodes"] if node["kind"] == "drive_log"}


def _input(link: Link) -> RunInput:
    ref = parse_ref(link.ref)
    return RunInput(link.role, Artifact(ref.kind, ref.segments[0], f"sha256:{ref.version}", Media.NONE), link.producer_run)
