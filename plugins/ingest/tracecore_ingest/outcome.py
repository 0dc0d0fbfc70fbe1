"""What the outputs of an ingest say of themselves: counts by drive and topic, spans of time, places, and what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

import tracecore as tc
from tracecore_ingest.drive import Drive
from tracecore_schemas.canonical import JSON

__all__ = ["Counted", "describe_outputs"]

_NAMED = 20  # drives of one sentence; the facet lists all


class Counted:
    """Counts the rows of a table while they pass.

    Args:
        noun: what a row is (`frames`).
        topic_column: the column that names the topic.
        context: told how far the work is.
        total: drives to come.
    """

    def __init__(self, noun: str, topic_column: str, context: tc.Context, total: int) -> None:
        self.noun = noun
        self.drives: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()
        self.unplaced: Counter[str] = Counter()
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._topic_column = topic_column
        self._context = context
        self._total = total

    def through(self, drives: Iterable[tuple[Drive, Iterator[pa.RecordBatch]]]) -> Iterator[pa.RecordBatch]:
        """Pass batches on, counted."""
        for done, (drive, batches) in enumerate(drives):
            self._context.progress(done, self._total, f"{self.noun} of {drive.name}")
            for batch in batches:
                self._count(drive.name, batch)
                yield batch
        self._context.progress(self._total, self._total, self.noun)

    def _count(self, drive: str, batch: pa.RecordBatch) -> None:
        self.drives[drive] += batch.num_rows
        for entry in pc.value_counts(batch[self._topic_column]).to_pylist():
            self.topics[entry["values"]] += entry["counts"]
        if "latitude" in batch.schema.names and batch["latitude"].null_count:
            self.unplaced[drive] += batch["latitude"].null_count
        span = pc.min_max(batch["timestamp_ns"]).as_py()
        self.first_ns = span["min"] if self.first_ns is None else min(self.first_ns, span["min"])
        self.last_ns = span["max"] if self.last_ns is None else max(self.last_ns, span["max"])

    def facts(self, topics_key: str) -> dict[str, JSON]:
        """Give the counts as JSON; times as text, because they are larger than JSON's whole numbers."""
        return {
            self.noun: self.drives.total(),
            "drives": dict(sorted(self.drives.items())),
            topics_key: dict(sorted(self.topics.items())),
            "start_ns": None if self.first_ns is None else str(self.first_ns),
            "end_ns": None if self.last_ns is None else str(self.last_ns),
        }


def describe_outputs(context: tc.Context, frames: tc.Output, signals: tc.Output, drives: Sequence[Drive], seen: Counted, heard: Counted) -> None:
    """Say of both outputs what they hold and what is not known of it.

    Args:
        context: of the run.
        frames: the output port of the frames.
        signals: the output port of the signals.
        drives: the drives that went in.
        seen: the frames, counted.
        heard: the signals, counted.
    """
    facts = seen.facts("frames_by_sensor")
    facts["sensors"] = sorted(seen.topics)
    facts["place"] = _bounds([drive for drive in drives if seen.drives[drive.name]])
    context.describe(frames, "tracecore_frames", facts)
    context.describe(signals, "tracecore_signals", heard.facts("topics"))
    if not drives:
        context.unknown("drives", "no drive file could be ingested; what was left out is listed with its reason")
    _tell_of_places(context, frames, drives, seen)
    left = [drive for drive in drives if drive.undecoded]
    if left:
        count = sum(drive.undecoded.total() for drive in left)
        kinds = sorted({why.partition(",")[0] for drive in left for _, why in drive.undecoded})
        why = f"{count:,} messages ({', '.join(kinds)}) of {_named(left)} are in no table; each drive log says of which topics"
        context.unknown("messages not decoded", why)
    inexact = [drive for drive in drives if drive.inexact and heard.drives[drive.name]]
    if inexact:
        count = sum(drive.inexact.total() for drive in inexact)
        why = f"{count:,} messages of {_named(inexact)} hold NaN or Infinity, which JSON does not know; they read as null"
        context.unknown("numbers that are none", why, port=signals)


def _tell_of_places(context: tc.Context, frames: tc.Output, drives: Sequence[Drive], seen: Counted) -> None:
    """State where time or place of frames is not known: one sentence for all drives that lack the same."""
    lacking: dict[str, list[Drive]] = {}
    for drive in drives:
        if seen.drives[drive.name] and (missing := drive.without_time_or_place()):
            lacking.setdefault(" and ".join(missing), []).append(drive)
        elif seen.unplaced[drive.name]:
            lacking.setdefault("some of its frames have no GNSS fix within 5 s", []).append(drive)
    for why, found in lacking.items():
        context.unknown("time and place", f"{_named(found)}: {why}", port=frames)


def _named(drives: Sequence[Drive]) -> str:
    names = ", ".join(drive.name for drive in drives[:_NAMED])
    more = f" and {len(drives) - _NAMED} more" if len(drives) > _NAMED else ""
    return f"drive{'s' if len(drives) > 1 else ''} {names}{more}"


def _bounds(drives: Sequence[Drive]) -> JSON:
    found = [bounds for drive in drives if (bounds := drive.fixes.bounds()) is not None]
    if not found:
        return None
    return {
        "bounds": {
            "south": min(bounds.south for bounds in found),
            "west": min(bounds.west for bounds in found),
            "north": max(bounds.north for bounds in found),
            "east": max(bounds.east for bounds in found),
        }
    }
