"""The protocols through which the kernel writes to the record and reports progress.

Every method of the recorder returns only when its data is durable. `tracecore_lineage.Record` implements it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tracecore.running.erasure_filter import ErasureFilter
from tracecore.stage import Lineage
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, CheckRun, CompletedRun, DeltaVersion, Run, RunInput

__all__ = ["Progress", "Recorder"]


class Progress(Protocol):
    """Callback for progress. Its exceptions are logged and do not affect the run."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Handle progress: `done` of `total` steps; `total` is 0 if unknown."""


class Recorder(Lineage, Protocol):
    """The write side of the record, and the queries that the executor needs."""

    namespace: str

    def new_run_id(self) -> str:
        """Return a new run id, a version 7 UUID."""

    def start(self, run: Run) -> None:
        """Record START, including the run's environment if it is not recorded yet."""

    def complete(self, run: Run, inputs: Sequence[RunInput], outputs: Mapping[str, Artifact], facets: Mapping[str, JSON] | None = None) -> None:
        """Record COMPLETE with inputs, outputs by port, and run facets, in one transaction with the catalog rows and the outbox item."""

    def fail(self, run: Run, error: str, *, trace: str | None = None, inputs: Sequence[RunInput] = (), aborted: bool = False) -> None:
        """Record FAIL, or ABORT if `aborted`, with an error message and a stack trace."""

    def check(self, check: CheckRun) -> None:
        """Record a finished check as a separate run, with START and COMPLETE and `dataQualityAssertions` on its inputs."""

    def reusable(self, key: str) -> Sequence[CompletedRun]:
        """Return completed runs with a staleness key, newest first by (eventTime, event digest), limited to a few."""

    def newest_table(self, kind: str, name: str) -> DeltaVersion | None:
        """Return the last recorded version of a name's Delta table, or None."""

    def erased(self, artifact: Artifact) -> str | None:
        """Return a sentence on the completed or pending erasure of a version's bytes; None if it was not erased."""

    def withdrawn(self) -> ErasureFilter:
        """Return the filter of withdrawn files, by digest, and drives, by name."""
