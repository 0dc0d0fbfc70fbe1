"""Where a walk starts: what a ref of any kind stands for in the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tracecore.errors import UsageProblem
from tracecore.suggest import suggestion
from tracecore_lineage.queries.found import Found
from tracecore_lineage.queries.named import find_build, whole
from tracecore_lineage.queries.prefix import Prefix
from tracecore_lineage.queries.reader import Link, Reader
from tracecore_lineage.tables import FACETS
from tracecore_schemas.refs import Ref, artifact_ref

__all__ = ["Start", "locate"]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a walk starts.

    Attributes:
        root: the whole ref that is answered for.
        prefix: the part of the ledger that is asked.
        versions: (ref, run it was taken from, or None) to start from.
        runs: runs to start from.
        frame: for a single frame, the reading of its drive log by the run that took the frame out of it.
    """

    root: str
    prefix: Prefix
    versions: tuple[tuple[str, str | None], ...] = ()
    runs: tuple[str, ...] = ()
    frame: Link | None = None

    def found(self, direction: str) -> Found:
        """Begin a walk: a frame stands before it, as what ingest took out of its drive log."""
        found = Found(self.root, direction)
        if self.frame is not None:
            found.note = f"Followed through {self.frame.ref}; which tables hold this very frame is not looked up."
            found.node(self.root, 0)
            if direction == "backward":
                found.run(self.frame.run, 1)
                found.made(self.root, self.frame.run)
                found.edge(self.frame.run, self.root, "output", "frame")
                found.edge(self.frame.run, self.frame.ref, "input", self.frame.role)
        return found


def locate(reader: Reader, ref: Ref) -> Start:
    """Find what a ref stands for.

    Raises:
        UsageProblem: nothing in the record, with the nearest right ref; or a kind that can't be followed.
    """
    if ref.kind == "build":
        build = find_build(reader, ref)
        return Start(build.ref, build.prefix, ((build.ref, build.run),))
    if ref.kind == "run":
        return _run(reader, ref)
    if ref.kind == "frame":
        return _frame(reader, ref)
    if ref.kind == "plugin":
        return _plugin(reader, ref)
    if ref.kind == "label":
        raise UsageProblem(
            f"{ref} can't be followed by itself: labels are recorded in batches. 'tracecore show {ref}' names the batch that holds it; ask for that."
        )
    if ref.kind in {"labeler", "vehicle", "bug"}:
        raise UsageProblem(f"{ref} is not in the record: nothing was recorded of any {ref.kind} yet.")
    version = whole(reader, ref)
    return Start(version, reader.prefix, ((version, None),))


def _run(reader: Reader, ref: Ref) -> Start:
    run = ref.segments[0]
    found = reader.runs([run, run.lower()])
    if not found:
        raise UsageProblem(f"{ref} is not in this part of the record: no event of that run was recorded.")
    known = next(iter(found))
    return Start(f"run/{known}", reader.prefix, runs=(known,))


def _frame(reader: Reader, ref: Ref) -> Start:
    """Find the drive that a frame is of, and make sure that the drive can hold it."""
    drive, sensor, time = ref.segments
    log = whole(reader, Ref("drive_log", (drive,)))
    facet = reader.facets([log]).get(log, {}).get("tracecore_drive")
    said: dict[str, Any] = facet.value if facet is not None else {}
    sensors = [str(name) for name in said.get("sensors") or ()]
    if sensors and sensor not in sensors:
        raise UsageProblem(f"{ref} is not in the record: {artifact_ref('drive_log', drive)} has no sensor {sensor!r}. {suggestion(sensor, sensors)}")
    start, end = said.get("start_ns"), said.get("end_ns")
    if start is not None and end is not None and not int(start) <= int(time) <= int(end):
        raise UsageProblem(f"{ref} is not in the record: {artifact_ref('drive_log', drive)} goes from {start} to {end} ns.")
    checks = reader.check_runs({link.run for link in reader.inputs_like([log])})
    readings = [link for link in reader.inputs_like([log]) if link.run not in checks and reader.runs([link.run])[link.run].ended_at is not None]
    if not readings:
        raise UsageProblem(f"{ref} is not in the record: no completed run has read {log}.")
    return Start(str(ref), reader.prefix, ((log, readings[-1].producer_run),), frame=readings[-1])


def _plugin(reader: Reader, ref: Ref) -> Start:
    """Find the runs of a plugin, by its entry point or stage, in one version or in all."""
    query = select(FACETS.c.subject, FACETS.c.value).where(FACETS.c.name == "tracecore_execution", FACETS.c.seq < reader.prefix.bound)
    runs: set[str] = set()
    known: set[str] = set()
    for row in reader.connection.execute(query):
        plugin = json.loads(row.value).get("plugin") or {}
        known.add(f"plugin/{plugin.get('entry_point')}@{plugin.get('version')}")
        if ref.segments[0] in {plugin.get("entry_point"), plugin.get("stage"), plugin.get("distribution")} and ref.version in {
            None,
            plugin.get("version"),
        }:
            runs.add(row.subject.removeprefix("run:"))
    if not runs:
        raise UsageProblem(f"{ref} is not in the record: no recorded run ran it. {suggestion(str(ref), known)}")
    return Start(str(ref), reader.prefix, runs=tuple(sorted(runs)))
