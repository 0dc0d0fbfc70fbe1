"""Records reports of perception bugs.

A report is a run of job `tracecore.bug` that reads the build and the logs of the frames' drives, in exact versions, and makes `bug/<id>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.prefix import head, readable_catalog
from tracecore_lineage.trace.bugs import find_bug
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
    """Return a bug's id: the first 12 hex digits of the SHA-256 over text, build, frames and severity as canonical JSON.

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
    """Record a bug durably and return it; if the same report was recorded before, return the existing bug.

    Args:
        text: one sentence that describes the bug.
        build: name or ref of the build in which the bug was seen.
        frames: refs of frames that show the bug.
        severity: `low`, `medium`, `high` or `critical`.
        reporter: name of the person, recorded as a pseudonym.

    Raises:
        UsageError: empty text, invalid severity, or a build or frame that is not in the record; the message names the nearest match.
    """
    description = text.strip()
    if not description:
        raise UsageError("A bug without a text can't be recorded: expected one sentence that says what was seen, such as 'cyclist missed at dusk'.")
    if severity is not None and severity not in list(BugSeverity):
        raise UsageError(f"{severity!r} is not a severity: expected {', '.join(BugSeverity)}.")
    with recorder.database.read() as connection, readable_catalog():
        reader = Reader(connection, head(connection))
        seen_in = None if build is None else build_named(reader, build)
        build_ref = None if seen_in is None else seen_in.ref
        shown, inputs = _frames(recorder, reader, frames, build_ref)
        inputs = [*([] if seen_in is None else [_input("build", seen_in.ref, seen_in.run)]), *inputs]
    identity = bug_id(description, build_ref, shown, severity)
    with recorder.database.write() as connection:
        existing = find_bug(connection, identity)
        if existing is not None:
            return Reported(existing, new=False)
        from tracecore_lineage.model.facets import TracecoreBugDatasetFacet, producer

        pseudonym = None if reporter is None else pseudonyms.pseudonym_of(connection, reporter)
        facet = TracecoreBugDatasetFacet(identity, description, build_ref, shown, severity, pseudonym, producer=producer())
        recorder.append_fact(connection, "bug", datetime.now(UTC), inputs=inputs, outputs={f"bug/{identity}": {"tracecore_bug": facet}})
        made = find_bug(connection, identity)
    if made is None:
        raise UsageError(f"bug/{identity} was recorded and can't be read back: run 'tracecore replay --check'.")
    return Reported(made, new=True)


def _frames(recorder: RecordWriter, reader: Reader, frames: Sequence[str], build: str | None) -> tuple[list[str], list[RunInput]]:
    """Return (refs of the frames, in order and once each; their drives' logs, as inputs of the run that records the report).

    A log has the version in the trace of `build`, else the newest. Raises UsageError for a frame that is not in the record.
    """
    shown: dict[str, None] = {}
    drives: dict[str, RunInput] = {}
    if not frames:
        return [], []
    from tracecore.store import open_store  # brings pyarrow along, which a bug without frames doesn't need

    store = open_store(recorder.workspace)
    nodes = [] if build is None else trace(reader.connection, build)["nodes"]
    logs = {parse_ref(node["ref"]).segments[0]: node["ref"] for node in nodes if node["kind"] == "drive_log"}
    for text in frames:
        ref = read_ref(reader, text)
        if ref.kind != "frame":
            raise UsageError(f"{text!r} is not a frame: expected frame/<drive>/<sensor>/<timestamp_ns>.")
        reading = frame_reading(reader, ref, logs.get(ref.segments[0]))
        check_frame(reader, store, recorder.ledger, ref, reading)
        shown[str(ref)] = None
        drives[reading.ref] = _input("frame", reading.ref, reading.producer_run)
    return list(shown), [drives[ref] for ref in sorted(drives)]


def _input(role: str, whole_ref: str, run: str | None) -> RunInput:
    ref = parse_ref(whole_ref)
    return RunInput(role, Artifact(ref.kind, ref.segments[0], f"sha256:{ref.version}", Media.NONE), run)
