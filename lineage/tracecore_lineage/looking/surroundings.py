"""What was recorded around a table of frames: labels and detections of the same frames, sweeps and calibrations of the same drives.

Found over the runs that really read and wrote the versions, never by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tracecore.errors import TracecoreError
from tracecore.store import open_store
from tracecore_lineage.looking.tables import TableKind, table_kind
from tracecore_lineage.questions import RecordQuestions
from tracecore_schemas.run import Artifact

__all__ = ["Surroundings", "Table"]

_DEEPEST = 12  # runs between a curated set and its ingest


@dataclass(frozen=True, slots=True)
class Table:
    """An opened table and what it is."""

    ref: str
    kind: TableKind | None
    data: Any


class Surroundings:
    """Walks the record from one version to what lies around it; every table is opened once.

    Args:
        record: the record.
    """

    def __init__(self, record: RecordQuestions) -> None:
        self._record = record
        self._store = open_store(record.workspace)
        self._pages: dict[str, Any] = {}
        self._opened: dict[str, Table | None] = {}

    def artifact(self, ref: str) -> Artifact:
        """Give a stored version by its ref."""
        return self._record.artifact(ref)

    def open(self, artifact: Artifact) -> Any:
        """Open a stored version: a table, else its path."""
        return self._store.open(artifact)

    def table(self, ref: str) -> Table | None:
        """Open a version as a table; None where it is none, or its bytes are not here."""
        if ref not in self._opened:
            try:
                opened = self._store.open(self._record.artifact(ref))
            except TracecoreError:  # `doctor` names what is missing
                opened = None
            is_table = opened is not None and hasattr(opened, "schema")
            self._opened[ref] = Table(ref, table_kind(opened), opened) if is_table else None
        return self._opened[ref]

    def readers(self, ref: str) -> list[str]:
        """Give the runs that read a version, the newest first."""
        return self._runs(ref, "read_by")

    def makers(self, ref: str) -> list[str]:
        """Give the runs that made a version, the newest first."""
        return self._runs(ref, "made_by")

    def inputs(self, run: str, kind: TableKind) -> Iterator[Table]:
        """Give the tables of a kind that a run read."""
        yield from self._tables(run, "inputs", kind)

    def outputs(self, run: str, kind: TableKind) -> Iterator[Table]:
        """Give the tables of a kind that a run made."""
        yield from self._tables(run, "outputs", kind)

    def sources(self, frames: Table) -> list[Table]:
        """Give a table of frames and the tables of frames it was chosen from, back to the ingest."""
        found = [frames]
        for _ in range(_DEEPEST):
            parents = [table for run in self.makers(found[-1].ref) for table in self.inputs(run, TableKind.FRAMES)]
            new = [table for table in parents if all(table.ref != each.ref for each in found)]
            if not new:
                break
            found.append(new[0])
        return found

    def labels_of(self, frames: Table) -> Iterator[Table]:
        """Give label tables that may speak of these frames: those read beside them or made from them first, then those of their sources."""
        sources = self.sources(frames)
        yield from self._beside(sources, TableKind.LABELS)
        # Last what was known when the drives were made: the truth of a simulation.
        for run in self.makers(sources[-1].ref):
            for log in self._drive_logs(run, "inputs"):
                for maker in self.makers(log):
                    yield from self.outputs(maker, TableKind.LABELS)

    def detections_of(self, frames: Table) -> Iterator[Table]:
        """Give tables of what was seen on these very frames."""
        yield from self._beside([frames], TableKind.DETECTIONS)

    def recorded_with(self, frames: Table, kind: TableKind) -> Iterator[Table]:
        """Give tables that the ingest of these frames made beside them."""
        for run in self.makers(self.sources(frames)[-1].ref):
            yield from self.outputs(run, kind)

    def frames_of(self, table: Table) -> Iterator[Table]:
        """Give the tables of frames that a table of labels, detections, events, sweeps or calibrations may be about."""
        for run in (*self.makers(table.ref), *self.readers(table.ref)):
            yield from self.inputs(run, TableKind.FRAMES)
            yield from self.outputs(run, TableKind.FRAMES)
        # What a simulation knows is about the frames that an ingest took out of its drives.
        for run in self.makers(table.ref):
            for log in self._drive_logs(run, "outputs"):
                for reader in self.readers(log):
                    yield from self.outputs(reader, TableKind.FRAMES)

    def read_beside(self, table: Table, kind: TableKind) -> Iterator[Table]:
        """Give the tables of a kind that the run which made a table read or made."""
        for run in self.makers(table.ref):
            yield from self.outputs(run, kind)
            yield from self.inputs(run, kind)

    def _drive_logs(self, run: str, side: str) -> list[str]:
        return [link["ref"] for link in self._page(f"run/{run}")[side] if link["ref"].startswith("drive_log/")]

    def _beside(self, tables: list[Table], kind: TableKind) -> Iterator[Table]:
        given: set[str] = set()
        for table in tables:
            for run in self.readers(table.ref):
                for found in (*self.outputs(run, kind), *self.inputs(run, kind)):
                    if found.ref not in given:
                        given.add(found.ref)
                        yield found

    def _tables(self, run: str, side: str, kind: TableKind) -> Iterator[Table]:
        for link in self._page(f"run/{run}")[side]:
            if not link["ref"].startswith(("dataset/", "label_batch/", "event_set/")):
                continue
            table = self.table(link["ref"])
            if table is not None and table.kind is kind and not self._page(table.ref)["rejected"]:
                yield table

    def _runs(self, ref: str, side: str) -> list[str]:
        uses = [use for use in self._page(ref)[side] if use["state"] == "COMPLETE"]
        return list(dict.fromkeys(use["run"] for use in sorted(uses, key=lambda use: (use["at"], use["run"]), reverse=True)))

    def _page(self, ref: str) -> Any:
        if ref not in self._pages:
            self._pages[ref] = self._record.show(ref)
        return self._pages[ref]
