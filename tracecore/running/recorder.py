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
        """Receive the report that `done` of `total` steps are complete; `total` is 0 if the number of steps is not known."""


class Recorder(Lineage, Protocol):
    """The write side of the record, and the queries that the executor needs."""

    namespace: str

    def new_run_id(self) -> str:
        """Return a new run id, a version 7 UUID."""

    def start(self, run: Run) -> None:
        """Record a run's START event, and the run's environment if that is not recorded yet."""

    def complete(self, run: Run, inputs: Sequence[RunInput], outputs: Mapping[str, Artifact], facets: Mapping[str, JSON] | None = None) -> None:
        """Record a run's COMPLETE event with inputs, outputs by port and run facets, in one transaction with its rows in the catalog and outbox."""

    def fail(self, run: Run, error: str, *, trace: str | None = None, inputs: Sequence[RunInput] = (), aborted: bool = False) -> None:
        """Record a run's FAIL event, or ABORT if `aborted`, with an error message and a stack trace."""

    def check(self, check: CheckRun) -> None:
        """Record a finished check as a separate run, with START and COMPLETE and `dataQualityAssertions` on its inputs."""

    def reusable(self, key: str) -> Sequence[CompletedRun]:
        """Return the newest few completed runs with a staleness key (digest of parameters and inputs), newest first by (eventTime, event digest)."""

    def newest_table(self, kind: str, name: str) -> DeltaVersion | None:
        """Return the newest recorded version of the Delta table of the artifact `<kind>/<name>`, or None if none is recorded."""

    def erased(self, artifact: Artifact) -> str | None:
        """Return a sentence on the completed or pending erasure of an artifact's bytes; None if they are not erased."""

    def withdrawn(self) -> ErasureFilter:
        """Return the filter that leaves out withdrawn files, found by digest, and the rows of withdrawn drives, found by name."""
