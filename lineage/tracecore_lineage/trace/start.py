"""Starting points of trace walks, by kind of ref."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tracecore.errors import UsageError, suggestion
from tracecore_lineage.catalog.prefix import Prefix
from tracecore_lineage.ledger.sql_tables import FACETS
from tracecore_lineage.trace.facts import Link
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import ROLE, Batch, batches_of, find_build, resolve_version
from tracecore_lineage.trace.walk import Walk
from tracecore_schemas.facets import DRIVE_FACET
from tracecore_schemas.refs import Ref, artifact_ref

__all__ = ["Start", "frame_reading", "locate"]


def frame_reading(reader: Reader, ref: Ref, log: str | None = None) -> Link:
    """Return the input edge of the last run that ingested a frame's drive log, after checking that the drive has the frame's sensor and time.

    `ref` is `frame/<drive>/<sensor>/<timestamp_ns>`; `log` is a ref of the log, None for its newest version. Raises UsageError for an unknown
    drive or sensor, a time outside the drive, or no completed ingest.
    """
    drive, sensor, time = ref.segments
    log = log or resolve_version(reader, Ref("drive_log", (drive,)))
    facet = reader.facets([log]).get(log, {}).get(DRIVE_FACET.name)
    facts: dict[str, Any] = facet.value if facet is not None else {}
    sensors = [str(name) for name in facts.get("sensors") or ()]
    if sensors and sensor not in sensors:
        raise UsageError(f"{ref} is not in the record: {artifact_ref('drive_log', drive)} has no sensor {sensor!r}. {suggestion(sensor, sensors)}")
    start, end = facts.get("start_ns"), facts.get("end_ns")
    if start is not None and end is not None and not int(start) <= int(time) <= int(end):
        raise UsageError(f"{ref} is not in the record: {artifact_ref('drive_log', drive)} goes from {start} to {end} ns.")
    links = reader.inputs_like([log])
    checks = reader.check_runs({link.run for link in links})
    runs = reader.runs({link.run for link in links})
    readings = [link for link in links if link.run not in checks and runs[link.run].ended_at is not None and not runs[link.run].is_fact]
    if not readings:
        raise UsageError(f"{ref} is not in the record: no completed run has read {log}.")
    return readings[-1]


@dataclass(frozen=True, slots=True)
class Start:
    """Starting point of a walk from `root` (a full ref): versions, each as (ref, run that made it or None), and runs.

    `frame` is, for a frame, the input edge by which its drive log was ingested; `batches` are, for a labeler, their label batches.
    """

    root: str
    prefix: Prefix
    versions: tuple[tuple[str, str | None], ...] = ()
    runs: tuple[str, ...] = ()
    frame: Link | None = None
    batches: tuple[Batch, ...] = ()

    @property
    def level(self) -> int:
        """Number of levels of runs between the root and the versions that a forward walk starts from: 1 for a labeler, else 0."""
        return 1 if self.batches else 0

    def begin(self, direction: str, depth: int | None = None) -> Walk:
        """Return a new walk (trace in progress) with the root added: a frame as output of its ingest, a labeler as input of labeling runs."""
        walk = Walk(self.root, direction)
        if self.batches:
            self._labeler(walk, depth)
        if self.frame is not None:
            walk.gap(self.root, "frame", f"Followed by drive, through {self.frame.ref}: versions may be named that never held this very frame.")
            walk.note = f"Followed through {self.frame.ref}; which tables hold this very frame is not looked up."
            walk.node(self.root, 0)
            if direction == "backward":
                walk.run(self.frame.run, 1)
                walk.made(self.root, self.frame.run)
                walk.edge(self.frame.run, self.root, "output", "frame")
                walk.edge(self.frame.run, self.frame.ref, "input", self.frame.role)
        return walk

    def _labeler(self, walk: Walk, depth: int | None) -> None:
        """Add a labeler to `walk`; forward, also the runs that made their label batches, if `depth` allows; backward, a note."""
        walk.node(self.root, 0)
        if walk.direction == "backward":
            walk.note = f"A trace ends at who labeled; 'tracecore impact {self.root}' gives what they labeled and what it reached."
        elif depth is None or depth >= self.level:
            for link in (link for batch in self.batches for link in batch.made):
                walk.run(link.run, self.level)
                walk.edge(link.run, self.root, "input", ROLE)
                walk.edge(link.run, link.ref, "output", link.role)
                walk.made(link.ref, link.run)


def locate(reader: Reader, ref: Ref) -> Start:
    """Return the starting point of a trace or impact: the versions and runs to follow. UsageError if the ref is unknown or can't be followed."""
    if ref.kind == "build":
        build = find_build(reader, ref)
        return Start(build.ref, build.prefix, ((build.ref, build.run),))
    if ref.kind == "run":
        known = next(iter(reader.runs([ref.segments[0], ref.segments[0].lower()])), None)
        if known is None:
            raise UsageError(f"{ref} is not in this part of the record: no event of that run was recorded.")
        return Start(f"run/{known}", reader.prefix, runs=(known,))
    if ref.kind == "frame":
        reading = frame_reading(reader, ref)
        return Start(str(ref), reader.prefix, ((reading.ref, reading.producer_run),), frame=reading)
    if ref.kind == "plugin":
        return _plugin(reader, ref)
    if ref.kind == "label":
        raise UsageError(
            f"{ref} can't be followed by itself: labels are recorded in batches. 'tracecore show {ref}' names the batch that holds it; ask for that."
        )
    if ref.kind == "labeler":
        batches = batches_of(reader, ref)
        return Start(str(ref), reader.prefix, tuple((batch.ref, None) for batch in batches), batches=tuple(batches))
    if ref.kind == "job":
        raise UsageError(
            f"{ref} can't be followed: a job has no version. 'tracecore show {ref}' gives its runs and its static lineage; ask for those."
        )
    if ref.kind == "vehicle":
        raise UsageError(f"{ref} is not in the record: nothing was recorded of any {ref.kind} yet.")
    version = resolve_version(reader, ref)
    return Start(version, reader.prefix, ((version, None),))


def _plugin(reader: Reader, ref: Ref) -> Start:
    """Return a trace's starting point with all runs of a plugin, found by entry point, stage or distribution, and by version if given."""
    query = select(FACETS.c.subject, FACETS.c.value).where(FACETS.c.name == "tracecore_execution", FACETS.c.seq < reader.prefix.bound)
    runs: set[str] = set()
    known: set[str] = set()
    for row in reader.connection.execute(query):
        plugin = json.loads(row.value).get("plugin")
        if not isinstance(plugin, Mapping):
            continue  # recorded by tracecore itself, or another producer's facet
        known.add(f"plugin/{plugin.get('entry_point')}@{plugin.get('version')}")
        if ref.segments[0] in {plugin.get("entry_point"), plugin.get("stage"), plugin.get("distribution")} and ref.version in {
            None,
            plugin.get("version"),
        }:
            runs.add(row.subject.removeprefix("run:"))
    if not runs:
        raise UsageError(f"{ref} is not in the record: no recorded run ran it. {suggestion(str(ref), known)}")
    return Start(str(ref), reader.prefix, runs=tuple(sorted(runs)))
