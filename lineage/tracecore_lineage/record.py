"""The record of one workspace: what happened is written here, and every question is asked here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection

from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_lineage import binding, ingest, ledger, lookup, people, replay
from tracecore_lineage.questions import RecordQuestions
from tracecore_lineage.sealing import rotation
from tracecore_lineage.sealing.keys import PublicKey

if TYPE_CHECKING:
    from tracecore_lineage.bundle.taking import Taken
    from tracecore_lineage.retention.consent import Withdrawal
    from tracecore_lineage.retention.prune import Pruned

__all__ = ["Record"]


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
            believed = lookup.believed_runs(connection, {candidate.run for candidate in good if candidate.run is not None})
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
                false = [replay.Difference(f"person {each}", "false name", "", None, None) for each in people.false_names(connection)]
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
    ) -> Taken:
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
        from tracecore_lineage.bundle.taking import import_bundle

        return import_bundle(self, Path(path), key=key, threshold=threshold, progress=progress)

    def rotate_key(self) -> PublicKey:
        """Sign with a new key from here on; the change is an event of the ledger, and what the old key signed keeps verifying."""
        return rotation.rotate(self)

    def pseudonym(self, name: str) -> str:
        """Give a person's pseudonym, which is all that the ledger may hold of them."""
        return self.together(lambda connection: people.pseudonym_of(connection, name))

    def person(self, pseudonym: str) -> str | None:
        """Return the name behind a pseudonym, where it is still known and the one that the pseudonym stands for."""
        with self.database.read() as connection:
            return people.resolve(connection, pseudonym)

    def person_in_words(self, pseudonym: str) -> str:
        """Return what texts for people call a pseudonym: the name, or the pseudonym and why there is no name."""
        with self.database.read() as connection:
            return people.shown(connection, pseudonym)

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
