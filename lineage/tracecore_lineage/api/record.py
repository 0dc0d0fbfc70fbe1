"""The record of one workspace: the facade for writing and querying it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection

from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_lineage.api import binding
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.exchange import ingest
from tracecore_lineage.ledger.database import Database
from tracecore_schemas.build import SealedBuild, SealRequest
from tracecore_schemas.trace import Trace

if TYPE_CHECKING:
    from tracecore_lineage.model.findings import Verdict
    from tracecore_schemas.run import Artifact

__all__ = ["Record"]

P = ParamSpec("P")
T = TypeVar("T")


class Record:
    """The record of one workspace, open for writing and queries; safe to use from several threads.

    Queries and services are functions of the packages below: `record.query(sealed_builds)`, `seal_build(record.recorder, request)`. `recorder` is the
    write side, passed to the kernel's executor.
    """

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace = workspace
        self.database = database
        self.recorder = RecordWriter(workspace, database, self.trace)
        self.ledger = self.recorder.ledger

    @classmethod
    def open(cls, workspace: Workspace | NamedWorkspace | Path | str | None = None) -> Record:
        """Open a workspace's record (its ledger of events and the catalog) and return it; a new workspace's ledger is begun.

        Args:
            workspace: the workspace or its folder; `TRACECORE_HOME`, else `./.tracecore`, if None.

        Raises:
            UsageError: the workspace does not exist, was written by a newer tracecore, or its catalog contains another ledger or none.
        """
        found = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        record = cls(found, binding.open_catalog(found))
        try:
            binding.bind(record.recorder)
        except BaseException:
            record.close()
            raise
        return record

    def close(self) -> None:
        """Close the record's database connections, which also releases the locks of runs started through this record."""
        self.recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def query(self, question: Callable[Concatenate[Connection, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Call the function `question` as `question(connection, *args, **options)` in a consistent read-only transaction, and return its result."""
        return self.database.query(question, *args, **options)

    def trace(self, ref: str, *, depth: int | None = None, as_of: str | None = None) -> Trace:
        """Return the complete backward trace of a ref: everything that it was made from, as a JSON object of the public schema `Trace`.

        Args:
            ref: any ref; a build's trace covers the part of the ledger that the build was sealed over, so it never changes.
            depth: number of levels of runs to follow; all if None.
            as_of: ISO 8601 time; events recorded after it are ignored. No limit if None.

        Raises:
            UsageError: the ref is not in the record or is ambiguous; the message names the nearest matches.
        """
        from tracecore_lineage.trace.lineage import trace
        from tracecore_lineage.trace.store_paths import store_places

        return self.query(trace, ref, depth=depth, as_of=as_of, places=store_places(self.workspace))

    def impact(self, ref: str, *, depth: int | None = None, as_of: str | None = None) -> Trace:
        """Return everything made from a ref, builds first, in the JSON form of a trace; `depth` (levels of runs) and `as_of` (time) as in `trace`."""
        from tracecore_lineage.trace.lineage import impact
        from tracecore_lineage.trace.store_paths import store_places

        return self.query(impact, ref, depth=depth, as_of=as_of, places=store_places(self.workspace))

    def artifact(self, ref: str) -> Artifact:
        """Return the artifact that a ref names (the newest version if the ref has none), so that `tracecore.open_artifact` can read it.

        Raises:
            UsageError: the artifact is not in the record, or its bytes are not stored in this workspace.
        """
        from tracecore_lineage.trace.show import stored_version

        return self.query(stored_version, ref, self.ledger)

    def seal(self, request: SealRequest) -> SealedBuild:
        """Record and sign the build that `request` describes, durably, and return it; for the kernel's tests, which do not import this package."""
        from tracecore_lineage.seal.seal import seal_build

        return seal_build(self.recorder, request)

    def verify(
        self,
        ref: str | None = None,
        *,
        key: Path | str | Sequence[Path | str] | None = None,
        threshold: int | None = None,
        checkpoint: Path | str | None = None,
        attestations: Path | str | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> Verdict:
        """Verify a build or the whole workspace by recomputing it from bytes, and return a verdict with every difference from the record.

        Args:
            ref: a build or any other ref; None for everything.
            key: file of a public key that the caller trusts, or several; if None, the workspace's own keys, and the verdict is marked `unpinned`.
            threshold: number of these keys that must have signed a build; all if None.
            checkpoint: file of a signed checkpoint kept elsewhere, which the ledger must extend.
            attestations: file of exported attestations about the build, which must agree with the record.
            progress: called with the number of stored versions verified so far, their total, and the ref of the last of them.
        """
        from tracecore_lineage.verify.verify import verify

        return verify(self.recorder, ref, key=key, threshold=threshold, checkpoint=checkpoint, attestations=attestations, progress=progress)

    def ingest(self, events: Iterable[bytes | str | Mapping[str, Any]], *, whole: bool = False) -> ingest.Ingested:
        """Record OpenLineage events of other producers durably, and return counts of recorded events, and each refused event with the reason.

        Args:
            events: exact bytes or text as received, or parsed objects, which are recorded as canonical JSON.
            whole: if True, record no event at all if one is refused.
        """
        return ingest.ingest(self.recorder, events, whole=whole)
