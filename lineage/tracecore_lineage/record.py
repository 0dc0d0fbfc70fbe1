"""The record of one workspace: what happened is written here, and every question is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tracecore.workspace import Workspace
from tracecore_lineage import ingest, ledger, lookup, people, replay, rotation
from tracecore_lineage.database import Database
from tracecore_lineage.keys import PublicKey
from tracecore_lineage.questions import RecordQuestions

__all__ = ["Record"]


class Record(RecordQuestions):
    """The record of one workspace, open for writing and for questions; safe to use from several threads."""

    @classmethod
    def open(cls, workspace: Workspace | Path | str | None = None) -> Record:
        """Open the record of a workspace.

        Args:
            workspace: the workspace or its folder; `TRACECORE_HOME`, else `./.tracecore` where None.

        Raises:
            UsageProblem: there is no such workspace, or a newer tracecore has written it.
        """
        found = workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)
        return cls(found, Database(found.catalog_url, found.locks))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def ingest(self, events: Iterable[bytes | str | Mapping[str, Any]], *, own: bool = False) -> ingest.Ingested:
        """Take OpenLineage events of other producers: durable when it returns, the good ones recorded, the others named with their reason.

        Args:
            events: exact bytes as received, or parsed objects.
            own: whether events of this workspace's own jobs may be among them (an export read back by its owner); else only those are
                taken that are recorded already.
        """
        good, refused = ingest.checked(events, self.namespace)
        if not good:
            return ingest.Ingested(0, 0, tuple(refused))
        with self.database.write() as connection:
            known = ledger.places(connection, [ledger.event_id(candidate.body) for candidate in good])
            our_runs = lookup.our_runs(connection, self.namespace, {candidate.run for candidate in good if candidate.run is not None})
            bodies, strangers = ingest.take(good, known, our_runs, self.namespace, own=own)
            appended = self._append(connection, bodies)
        new = sum(place.new for place in appended)
        return ingest.Ingested(new, len(appended) - new, tuple(sorted((*refused, *strangers), key=lambda refusal: refusal.index)))

    def replay(self, *, check: bool = False) -> list[replay.Difference]:
        """Make the catalog again from the ledger, or with `check` only compare them.

        Returns:
            With `check` the rows that differ, empty where catalog and ledger agree; else nothing.
        """
        if check:
            with self.database.read() as connection:
                return list(replay.compare(connection, self.namespace))
        with self.database.write() as connection:
            replay.rebuild(connection, self.namespace)
        return []

    def rotate_key(self) -> PublicKey:
        """Sign with a new key from here on; the change is an event of the ledger, and what the old key signed keeps verifying."""
        return rotation.rotate(self)

    def pseudonym(self, name: str) -> str:
        """Give a person's pseudonym, which is all that the ledger may hold of them."""
        with self.database.write() as connection:
            return people.pseudonym_of(connection, name)

    def person(self, pseudonym: str) -> str | None:
        """Give the name behind a pseudonym, where it is still known."""
        with self.database.read() as connection:
            return people.resolve(connection, pseudonym)
