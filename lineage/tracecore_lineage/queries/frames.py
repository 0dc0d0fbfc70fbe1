"""A single frame: the drive that it is of, and the run that took it out of the drive's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracecore.errors import TracecoreError, UsageError, suggestion
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.facts import Link
from tracecore_lineage.queries.named import whole
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.retention.tombstones import readable
from tracecore_lineage.stored import stored_artifacts
from tracecore_schemas.kinds import Media
from tracecore_schemas.refs import Ref, artifact_ref, frame_ref

if TYPE_CHECKING:
    from tracecore.store import Store

__all__ = ["check_frame", "frame_reading"]

_COLUMNS = ("drive", "sensor", "timestamp_ns", "frame_id")


def frame_reading(reader: Reader, ref: Ref, log: str | None = None) -> Link:
    """Find the drive that a frame is of, make sure that the drive can hold it, and give the reading of its log that took the frame out.

    Args:
        reader: of the asked prefix.
        ref: `frame/<drive>/<sensor>/<timestamp_ns>`.
        log: the version of the drive's log; the newest where None.

    Raises:
        UsageError: no such drive, sensor or time, with the nearest right one.
    """
    drive, sensor, time = ref.segments
    log = log or whole(reader, Ref("drive_log", (drive,)))
    facet = reader.facets([log]).get(log, {}).get("tracecore_drive")
    said: dict[str, Any] = facet.value if facet is not None else {}
    sensors = [str(name) for name in said.get("sensors") or ()]
    if sensors and sensor not in sensors:
        raise UsageError(f"{ref} is not in the record: {artifact_ref('drive_log', drive)} has no sensor {sensor!r}. {suggestion(sensor, sensors)}")
    start, end = said.get("start_ns"), said.get("end_ns")
    if start is not None and end is not None and not int(start) <= int(time) <= int(end):
        raise UsageError(f"{ref} is not in the record: {artifact_ref('drive_log', drive)} goes from {start} to {end} ns.")
    links = reader.inputs_like([log])
    checks = reader.check_runs({link.run for link in links})
    runs = reader.runs({link.run for link in links})
    readings = [link for link in links if link.run not in checks and runs[link.run].ended_at is not None and not runs[link.run].is_fact]
    if not readings:
        raise UsageError(f"{ref} is not in the record: no completed run has read {log}.")
    return readings[-1]


def check_frame(reader: Reader, store: Store, own: LedgerName, ref: Ref, reading: Link) -> None:
    """Make sure that the tables which the drive's log was read into hold a frame; where none of them is kept here nothing can be said.

    Args:
        reader: of the asked prefix.
        store: where the tables lie.
        own: the workspace's own ledger.
        ref: the frame.
        reading: what `frame_reading` found of it.

    Raises:
        UsageError: they don't; the frame of that sensor nearest in time is offered.
    """
    import pyarrow.dataset as ds

    drive, sensor, time = ref.segments
    outputs = [link.ref for link in reader.links_of([reading.run]) if link.direction == "output"]
    looked = False
    times: list[int] = []
    for artifact in readable(reader.connection, own, stored_artifacts(reader.connection, refs=outputs)):
        if artifact.media is not Media.DELTA:
            continue
        try:
            table: Any = store.open(artifact)
        except TracecoreError:
            continue  # `doctor` names what is missing; the other tables can still answer
        if not set(_COLUMNS) <= set(table.schema.names):
            continue
        looked = True
        rows = table.to_table(filter=(ds.field("drive") == drive) & (ds.field("sensor") == sensor), columns=["timestamp_ns"])
        times.extend(rows.column("timestamp_ns").to_pylist())
    if not looked or int(time) in times:
        return
    if not times:
        raise UsageError(f"{ref} is not in the record: no table that {artifact_ref('drive_log', drive)} was read into holds a frame of {sensor!r}.")
    offer = frame_ref(drive, sensor, min(times, key=lambda one: (abs(one - int(time)), one)))
    raise UsageError(f"{ref} is not in the record: no table holds it. Did you mean '{offer}', the nearest in time?")
