"""The two protocols that the kernel is handed: the recorder, which lies a floor above, and a listener for progress.

Every method of the recorder returns only when what it was given is durable. `tracecore_lineage.Record` fulfils it.
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
    """A listener for progress. Whatever it raises is logged and disturbs no run."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See that `done` of `total` steps are done; `total` is 0 where their number is unknown."""


class Recorder(Lineage, Protocol):
    """The write side of the record, and the two questions the executor has to ask."""

    namespace: str

    def new_run_id(self) -> str:
        """Return a fresh run id, a version 7 UUID."""

    def start(self, run: Run) -> None:
        """Record START. A run whose environment was not recorded before has it recorded with it."""

    def complete(self, run: Run, inputs: Sequence[RunInput], outputs: Mapping[str, Artifact], facets: Mapping[str, JSON] | None = None) -> None:
        """Record COMPLETE with exact inputs, outputs (by port) and further run facets.

        One transaction holds the event, the catalog's rows and the outbox.
        """

    def fail(self, run: Run, error: str, *, trace: str | None = None, inputs: Sequence[RunInput] = (), aborted: bool = False) -> None:
        """Record FAIL (ABORT where it was stopped) with its reason."""

    def check(self, check: CheckRun) -> None:
        """Record a finished check: START and COMPLETE of a run of its own, `dataQualityAssertions` on its inputs."""

    def reusable(self, key: str) -> Sequence[CompletedRun]:
        """Find the completed runs with a staleness key, their outputs, checks and dependencies: the newest by (eventTime, event digest) first.

        No more than a few: what was made before is made again sooner than looked for.
        """

    def artifacts(self, kind: str, name: str) -> Sequence[Artifact]:
        """Every recorded version of a name, newest first."""

    def newest_table(self, kind: str, name: str) -> DeltaVersion | None:
        """Return the version of a name's Delta table that a run recorded last: what the next commit goes on from."""

    def erased(self, artifact: Artifact) -> str | None:
        """Return the sentence on the erasure of a version's bytes, done or about to be; None where they were not erased."""

    def withdrawn(self) -> ErasureFilter:
        """Return what was withdrawn, by digest of files and name of drives: it may not come back."""
