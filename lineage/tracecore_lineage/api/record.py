"""The record of one workspace: the facade through which it is written and queried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection

from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_lineage.api import binding
from tracecore_lineage.catalog import current_state, pseudonyms, replay
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.exchange import ingest
from tracecore_lineage.ledger import ledger
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal import rotation
from tracecore_schemas.build import SealedBuild, SealRequest
from tracecore_schemas.trace import Trace

if TYPE_CHECKING:
    from tracecore.system.settings import Settings
    from tracecore_lineage.bundle.writer import Exported
    from tracecore_lineage.exchange.bug_reports import Reported
    from tracecore_lineage.exchange.importer import ImportResult
    from tracecore_lineage.ledger.proofs import ConsistencyProof, InclusionProof
    from tracecore_lineage.model.findings import Verdict
    from tracecore_lineage.retention.consent import Withdrawal
    from tracecore_lineage.retention.prune import Pruned
    from tracecore_lineage.retention.recover import Recovered
    from tracecore_schemas.bug import Bug
    from tracecore_schemas.run import Artifact

__all__ = ["Record", "RecordQuestions"]


class RecordQuestions(RecordWriter):
    """A record that can be asked."""

    def trace(self, ref: str, *, depth: int | None = None, as_of: str | None = None) -> Trace:
        """Return the complete backward trace of a ref, in the shape of the public contract.

        Args:
            ref: any ref; a build is answered from the part of the ledger it was sealed over, the same for ever.
            depth: how many levels of runs to follow; None for all.
            as_of: recorded time: the record as it stood then.

        Raises:
            UsageError: an unknown or ambiguous ref, with the nearest right ones.
        """
        from tracecore_lineage.trace.lineage import trace
        from tracecore_lineage.trace.store_paths import store_places

        with self.database.read() as connection:
            return trace(connection, ref, depth=depth, as_of=as_of, places=store_places(self.workspace))

    def impact(self, ref: str, *, depth: int | None = None, as_of: str | None = None) -> Trace:
        """Return everything that a ref reached, builds first, in the same shape."""
        from tracecore_lineage.trace.lineage import impact
        from tracecore_lineage.trace.store_paths import store_places

        with self.database.read() as connection:
            return impact(connection, ref, depth=depth, as_of=as_of, places=store_places(self.workspace))

    def show(self, ref: str, *, as_of: str | None = None) -> dict[str, Any]:
        """Return one artifact, run or build with its facets, checks and history, or one frame or label with the tables that hold it."""
        from tracecore_lineage.trace.show import show

        with self.database.read() as connection:
            return show(connection, ref, as_of=as_of, workspace=self.workspace)

    def source(self, ref: str, file: str) -> bytes:
        """Return the text of a source file that a run loaded from a plugin, as it was kept then."""
        from tracecore_lineage.trace.show import run_source

        with self.database.read() as connection:
            return run_source(connection, ref, file, self.workspace)

    def kpi_history(self, ref: str, *, kpis: Sequence[str] = (), as_of: str | None = None) -> dict[str, Any]:
        """Return the KPIs of every version of a report, oldest first, with the builds sealed on each and the change since the one before.

        Args:
            ref: `kpi_report/<name>`.
            kpis: only these names; all where there are none.
            as_of: recorded time: the record as it stood then.

        Raises:
            UsageError: no such report or KPI, with the nearest right one.
        """
        from tracecore_lineage.trace.kpi_history import kpi_history

        with self.database.read() as connection:
            return kpi_history(connection, ref, kpis=kpis, as_of=as_of)

    def artifact(self, ref: str) -> Artifact:
        """Return one stored version by its ref (the newest of its name where the ref names none), as the store opens it.

        Raises:
            UsageError: it is not in the record, or its bytes are not kept in this workspace.
        """
        from tracecore_lineage.trace.show import stored_version

        with self.database.read() as connection:
            return stored_version(connection, ref, LedgerName.of(self.workspace))

    def seal(self, request: SealRequest) -> SealedBuild:
        """Seal a build, durably; the same content under the same name gives the build that is there.

        Raises:
            UsageError: the name holds other content.
        """
        from tracecore_lineage.seal.seal import seal

        return seal(self, request)

    def builds(self) -> list[SealedBuild]:
        """Return every sealed build, in the order they were sealed."""
        from tracecore_lineage.seal.seal import builds

        with self.database.read() as connection:
            return builds(connection)

    def build(self, name: str) -> SealedBuild | None:
        """Return the build of a name."""
        from tracecore_lineage.seal.seal import find

        with self.database.read() as connection:
            return find(connection, name)

    def report_bug(
        self, text: str, *, build: str | None = None, frames: Sequence[str] = (), severity: str | None = None, reporter: str | None = None
    ) -> Reported:
        """Record a perception bug, durably; the same report again gives the bug that is there.

        Args:
            text: what was seen.
            build: name or ref of the build that it was seen in.
            frames: refs of the frames that show it.
            severity: `low`, `medium`, `high` or `critical`.
            reporter: who reports it; the ledger gets a pseudonym.

        Raises:
            UsageError: no text, or a build or frame that the record does not know, with the nearest right one.
        """
        from tracecore_lineage.exchange.bug_reports import report

        return report(self, text, build=build, frames=frames, severity=severity, reporter=reporter)

    def bugs(self, *, build: str | None = None) -> list[Bug]:
        """Return the reported bugs, newest first; with a build (name or ref) only those that were seen in it."""
        from tracecore_lineage.trace.bugs import bugs

        with self.database.read() as connection:
            return bugs(connection, build=build)

    def bug(self, identity: str) -> Bug | None:
        """Return a bug by its id."""
        from tracecore_lineage.trace.bugs import find

        with self.database.read() as connection:
            return find(connection, identity)

    def plugins(self) -> list[dict[str, Any]]:
        """Return the plugins that recorded runs ran, each version with its digests, its stages and the number of its runs."""
        from tracecore_lineage.trace.plugins import plugins

        with self.database.read() as connection:
            return plugins(connection)

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
        """Recompute a build, or the whole workspace, from bytes, and name what is not as recorded.

        Args:
            ref: a build or any other ref; everything without it.
            key: file of the public key that the caller trusts, or several; without it the workspace's own are taken, and the answer says `unpinned`.
            threshold: how many of several such keys must have signed a build; all of them where None.
            checkpoint: file of a signed checkpoint kept elsewhere, which the ledger must extend.
            attestations: file of exported attestations about the build, which must say what the record says.
            progress: told how many stored versions are done, of how many, and which was last.
        """
        from tracecore_lineage.verify.verify import verify

        return verify(self, ref, key=key, threshold=threshold, checkpoint=checkpoint, attestations=attestations, progress=progress)

    def export_bundle(self, build: str, path: Path | str, *, progress: Callable[[int, int, str], None] | None = None) -> Exported:
        """Write a sealed build into one file that verifies without this workspace; the file is whole or it is not there.

        Args:
            build: its name or ref.
            path: the file to write.
            progress: told how many bytes are written, of how many, and which entry is being written.

        Raises:
            UsageError: no such build, or the file can't be written.
            NegativeVerdict: something that the build stands on is not here as it was recorded; it is named.
        """
        from tracecore_lineage.bundle.writer import export_bundle

        return export_bundle(self, build, Path(path), progress=progress)

    def inclusion(self, event: str | int) -> InclusionProof:
        """Prove that the ledger holds an event, given by its id or its position, for who has no ledger.

        Raises:
            UsageError: there is no such event.
            NegativeVerdict: the ledger is not what its signed head says.
        """
        from tracecore_lineage.ledger.proofs import inclusion

        with self.database.read() as connection:
            return inclusion(connection, event)

    def consistency(self, old_size: int) -> ConsistencyProof:
        """Prove that the ledger only grew since it held so many events.

        Raises:
            UsageError: it never held so many.
            NegativeVerdict: the ledger is not what its signed head says.
        """
        from tracecore_lineage.ledger.proofs import consistency

        with self.database.read() as connection:
            return consistency(connection, old_size)

    def open_runs(self) -> list[str]:
        """Return the ids of runs that were started and have not ended, live ones among them; oldest first."""
        from tracecore_lineage.retention.open_runs import open_runs

        return [run.id for run in open_runs(self)]

    def recover(self) -> Recovered:
        """Close the runs of processes that are gone, and remove what they left in staging; live runs are left alone."""
        from tracecore_lineage.retention.recover import recover

        return recover(self)

    def doctor(self, settings: Settings | None = None) -> dict[str, Any]:
        """Return what is wrong in this workspace; nothing is changed.

        Args:
            settings: of the process; read here where None.
        """
        from tracecore_lineage.verify.doctor import examine

        return examine(self, settings)


class Record(RecordQuestions):
    """The record of one workspace, open for writing and for questions; safe to use from several threads."""

    @classmethod
    def open(cls, workspace: Workspace | NamedWorkspace | Path | str | None = None) -> Record:
        """Open the record of a workspace.

        Args:
            workspace: the workspace or its folder; `TRACECORE_HOME`, else `./.tracecore` where None.

        Raises:
            UsageError: there is no such workspace, a newer tracecore has written it, or its catalog holds another ledger or none.
        """
        found = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        record = cls(found, binding.open_catalog(found))
        try:
            binding.bind(record)
        except BaseException:
            record.close()
            raise
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def ingest(self, events: Iterable[bytes | str | Mapping[str, Any]], *, whole: bool = False) -> ingest.Ingested:
        """Take OpenLineage events of other producers: durable when it returns, the good ones recorded, the others named with their reason.

        Args:
            events: exact bytes as received, or parsed objects.
            whole: record all of them or none.
        """
        good, refused = ingest.checked(events, self.ledger)
        if not good or (whole and refused):
            return ingest.Ingested(0, 0, tuple(refused))

        def work(connection: Connection) -> tuple[list[ledger.Appended], list[ingest.Refused]]:
            known = ledger.places(connection, [ledger.event_id(candidate.body) for candidate in good])
            believed = current_state.believed_runs(connection, {candidate.run for candidate in good if candidate.run is not None})
            bodies, strangers = ingest.take(good, known, believed)
            return self._append(connection, [] if whole and strangers else bodies), strangers

        appended, strangers = self.together(work)
        new = sum(place.new for place in appended)
        return ingest.Ingested(new, len(appended) - new, tuple(sorted((*refused, *strangers), key=lambda refusal: refusal.index)))

    def replay(self, *, check: bool = False) -> list[replay.Difference]:
        """Make the catalog again from the ledger, or with `check` only compare them.

        Returns:
            With `check` the rows that differ, empty where catalog and ledger agree; else nothing.
        """
        if check:
            with self.database.read() as connection:
                false = [replay.Difference(f"person {each}", "false name", "", None, None) for each in pseudonyms.invalid_names(connection)]
                return [*replay.compare(connection, self.ledger), *false]
        with self.database.write() as connection:
            replay.rebuild(connection, self.ledger)
        return []

    def import_bundle(
        self,
        path: Path | str,
        *,
        key: Path | str | Sequence[Path | str] | None = None,
        threshold: int | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> ImportResult:
        """Take a build over from the bundle that another workspace exported, seals intact; the same bundle again is a no-op.

        Args:
            path: of the file.
            key: file of the public key that the caller trusts, or several; without it those in the bundle are believed.
            threshold: how many of several such keys must have signed the build.
            progress: told how much is done, of how much, and what was last.

        Raises:
            ImportRefused: it fails verification; its `verdict` names what.
            UsageError: the file can't be read, or the build's name stands for another build here.
        """
        from tracecore_lineage.exchange.importer import import_bundle

        return import_bundle(self, Path(path), key=key, threshold=threshold, progress=progress)

    def rotate_key(self) -> PublicKey:
        """Sign with a new key from here on; the change is an event of the ledger, and what the old key signed keeps verifying."""
        return rotation.rotate(self)

    def pseudonym(self, name: str) -> str:
        """Return a person's pseudonym, which is all that the ledger may hold of them."""
        return self.together(lambda connection: pseudonyms.pseudonym_of(connection, name))

    def person(self, pseudonym: str) -> str | None:
        """Return the name behind a pseudonym, where it is still known and the one that the pseudonym stands for."""
        with self.database.read() as connection:
            return pseudonyms.resolve(connection, pseudonym)

    def person_in_words(self, pseudonym: str) -> str:
        """Return what texts for people call a pseudonym: the name, or the pseudonym and why there is no name."""
        with self.database.read() as connection:
            return pseudonyms.shown(connection, pseudonym)

    def prune(self, refs: Sequence[str] = (), *, older_than: float | None = None, dry_run: bool = False) -> Pruned:
        """Remove the bytes of what no sealed build stands on; with refs only of those.

        Args:
            refs: versions; the newest of its name where one names no version.
            older_than: only what was recorded at least so many days ago.
            dry_run: only say what would go.

        Raises:
            NegativeVerdict: a build holds one of them, or a run is live.
        """
        from tracecore_lineage.retention.prune import prune

        return prune(self, refs, older_than=older_than, dry_run=dry_run)

    def withdraw(self, target: str, reason: str, *, dry_run: bool = False) -> Withdrawal:
        """Erase a drive, or all drives of a subject, everywhere in the workspace; what it reached is listed.

        Args:
            target: a drive, or somebody or something that drives name in their metadata, or a person.
            reason: why; it stands in the record for ever.
            dry_run: only say what would go.

        Raises:
            UsageError: nothing of that name, with the nearest right one; no reason.
            NegativeVerdict: a run is live.
        """
        from tracecore_lineage.retention.consent import withdraw

        return withdraw(self, target, reason, dry_run=dry_run)
