"""The write side of the record: each method returns when what it was told is durable.

An event, its catalog rows, the new signed head and the outbox row are one transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from tracecore.errors import RunFailed, UsageProblem
from tracecore.workspace import Workspace
from tracecore_lineage import catalog, checkpoint, ledger, lookup, outbox
from tracecore_lineage.database import Database
from tracecore_lineage.keys import KeyRing, PrivateKey
from tracecore_lineage.projection import project
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, CheckRun, CompletedRun, Environment, Run, RunInput

if TYPE_CHECKING:
    from tracecore_lineage.events import EventMaker

__all__ = ["ENVIRONMENTS", "Position", "RecordWriter"]

ENVIRONMENTS = uuid.UUID("6f0b8f0e-6a1f-5d0e-9a59-4d2d6c0f5a11")
"""Namespace of the runs that record environments: one for each digest."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the ledger stands under the write lock.

    Attributes:
        size: number of events so far: the position that the next event will have.
        root: over them, 32 bytes.
        checkpoint: signed note over size and root.
        connection: in the writing transaction, to read what stands at this position.
    """

    size: int
    root: bytes
    checkpoint: str
    connection: Connection


class RecordWriter:
    """Records what happened in one workspace.

    Args:
        workspace: whose record.
        database: where it is kept.
    """

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace = workspace
        self.database = database
        self.namespace = workspace.slug
        self.keys = KeyRing(workspace)
        self._environments: set[str] = set()

    @cached_property
    def events(self) -> EventMaker:
        """What makes this workspace's events; OpenLineage's client is imported with it, so only who writes pays for that."""
        from tracecore_lineage.events import EventMaker

        return EventMaker(self.namespace)

    def new_run_id(self) -> str:
        """Give a fresh run id, a version 7 UUID."""
        from openlineage.client.uuid import generate_new_uuid

        return str(generate_new_uuid())

    def start(self, run: Run) -> None:
        """Record START; with it, once for each digest, the environment the run runs in."""
        body = self.events.start(run)
        with self.database.write() as connection:
            environment = self._environment_events(connection, run.environment)
            self._append(connection, [*environment, body])
        if run.environment is not None:
            self._environments.add(run.environment.digest)

    def complete(self, run: Run, inputs: Sequence[RunInput], outputs: Mapping[str, Artifact], facets: Mapping[str, Any] | None = None) -> None:
        """Record COMPLETE with exact inputs, outputs by port, and further run facets.

        Raises:
            RunFailed: the run had ended before; an ended run is never reopened.
        """
        body = self.events.complete(run, inputs, outputs, facets, datetime.now(UTC))
        self._end(run.id, body)

    def fail(self, run: Run, error: str, *, trace: str | None = None, inputs: Sequence[RunInput] = (), aborted: bool = False) -> None:
        """Record FAIL (ABORT where it was stopped) with its reason; a run that has ended stays as it ended."""
        body = self.events.fail(run, error, trace=trace, inputs=inputs, aborted=aborted, ended_at=datetime.now(UTC))
        with self.database.write() as connection:
            if lookup.ending(connection, run.id) is None:
                self._append(connection, [body])

    def abort(self, run_id: str, why: str) -> bool:
        """Close a run that will never say its end itself; what its START said of it is said again.

        Returns:
            False where the run had ended before.

        Raises:
            UsageProblem: no such run was started here.
        """
        with self.database.write() as connection:
            if lookup.ending(connection, run_id) is not None:
                return False
            started = lookup.start_event(connection, run_id)
            if started is None:
                raise UsageProblem(f"No run {run_id} was started in this record, so there is nothing to close.")
            self._append(connection, [self.events.abort(started, why, datetime.now(UTC))])
        return True

    def check(self, check: CheckRun) -> None:
        """Record a finished check: START and COMPLETE of a run of its own, `dataQualityAssertions` on its inputs."""
        bodies = self.events.check(check)
        with self.database.write() as connection:
            self._append(connection, bodies)

    def append_with(self, build: Callable[[Position], bytes | None]) -> ledger.Appended | None:
        """Append an event that speaks of the ledger's own position, made and appended under the write lock.

        Args:
            build: given the position, root and signed checkpoint before the event; gives the event's bytes, or None to append nothing.

        Returns:
            Where the event stands; None where `build` gave none.
        """
        with self.database.write() as connection:
            head = ledger.locked_head(connection)
            note = head.checkpoint or self._sign(head.size, head.root)
            body = build(Position(head.size, head.root, note, connection))
            return None if body is None else self._append(connection, [body])[0]

    def append_fact(
        self,
        connection: Connection,
        verb: str,
        at: datetime,
        *,
        inputs: Sequence[RunInput] = (),
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> str:
        """Append what happened in the record itself, as a run of job `tracecore.<verb>`; the caller's writing transaction makes it durable.

        Args:
            connection: in a writing transaction.
            verb: what happened.
            at: when.
            inputs: the versions it is about.
            outputs: dataset facets of what it made that has a name and no digest, by ref (`bug/<id>`).

        Returns:
            The id of its run.
        """
        run_id = self.new_run_id()
        self._append(connection, self.events.fact(verb, run_id, {}, at, inputs=inputs, outputs=outputs))
        return run_id

    def append_signed(self, bodies: Sequence[bytes], key: PrivateKey) -> None:
        """Append events under a head that a given key signs: what a change of keys needs."""
        with self.database.write() as connection:
            self._append(connection, bodies, key)

    def reusable(self, key: str) -> CompletedRun | None:
        """Find the completed run with a staleness key, its outputs and checks; the newest by (eventTime, event digest)."""
        with self.database.read() as connection:
            return lookup.reusable(connection, self.namespace, key)

    def artifacts(self, kind: str, name: str) -> list[Artifact]:
        """Give every recorded version of a name, newest first."""
        with self.database.read() as connection:
            return lookup.versions(connection, self.namespace, kind, name)

    def facets(self, ref: str) -> dict[str, JSON]:
        """Give the facets of one whole artifact ref by name, without OpenLineage's own members."""
        with self.database.read() as connection:
            return lookup.facets(connection, ref)

    def position(self) -> int:
        """Give the number of events in the ledger."""
        with self.database.read() as connection:
            return ledger.head(connection).size

    def checkpoint(self) -> str:
        """Give the signed head of the ledger; it is signed anew only where no event was ever recorded."""
        with self.database.read() as connection:
            head = ledger.head(connection)
        return head.checkpoint or self._sign(head.size, head.root)

    def close(self) -> None:
        """Close the record's connections."""
        self.database.close()

    def _end(self, run_id: str, body: bytes) -> None:
        with self.database.write() as connection:
            ended = lookup.ending(connection, run_id)
            if ended is not None:
                raise RunFailed(
                    f"Run {run_id} was closed as {ended.event_type} at {ended.event_time}, before it was done: what it made is not recorded. "
                    "Run it again."
                )
            self._append(connection, [body])

    def _append(self, connection: Connection, bodies: Sequence[bytes], key: PrivateKey | None = None) -> list[ledger.Appended]:
        """Append events, their catalog rows and their outbox rows; the caller's transaction makes them durable together."""
        appended = ledger.append(connection, bodies, lambda size, root: self._sign(size, root, key))
        rows = []
        written: set[int] = set()
        for body, place in zip(bodies, appended, strict=True):
            if place.new and place.seq not in written:
                written.add(place.seq)
                rows.extend(project(body, place.seq, self.namespace))
        catalog.write(connection, rows)
        outbox.enqueue(connection, sorted(written))
        return appended

    def _sign(self, size: int, root: bytes, key: PrivateKey | None = None) -> str:
        return checkpoint.sign(key or self.keys.private(), checkpoint.origin_of(self.namespace), size, root)

    def _environment_events(self, connection: Connection, environment: Environment | None) -> tuple[bytes, ...]:
        if environment is None or environment.digest in self._environments:
            return ()
        run_id = str(uuid.uuid5(ENVIRONMENTS, environment.digest))  # one run for each digest, so that it is found again
        if lookup.ending(connection, run_id) is not None:
            return ()
        return self.events.environment(run_id, environment, datetime.now(UTC))
