"""The write side of the record; a method that records something returns when it is durable.

An event, its catalog rows, the new signed head and the outbox row are one transaction, shared with concurrent callers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from tracecore.errors import RunFailed, UsageError
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.workspace import Workspace
from tracecore_lineage.catalog import current_state, replay, tombstones
from tracecore_lineage.catalog.current_state import environment_run
from tracecore_lineage.catalog.delegation import Delegations
from tracecore_lineage.catalog.projection import project
from tracecore_lineage.crypto import notes
from tracecore_lineage.crypto.keys import KeyRing, PrivateKey, PublicKey
from tracecore_lineage.ledger import ledger, outbox
from tracecore_lineage.ledger.database import Database
from tracecore_lineage.ledger.group_commit import GroupCommit
from tracecore_lineage.ledger.live_runs import LiveRuns
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, CheckRun, CompletedRun, DeltaVersion, Environment, Run, RunInput

if TYPE_CHECKING:
    from tracecore_lineage.events.build import EventMaker

__all__ = ["Position", "RecordWriter"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """State of the ledger under the write lock: its size (the next event's position), 32-byte root, and signed checkpoint over both."""

    size: int
    root: bytes
    checkpoint: str
    connection: Connection


class RecordWriter:
    """Writes the record of one workspace; `trace` returns the backward trace of a ref, for stages."""

    def __init__(self, workspace: Workspace, database: Database, trace: Callable[[str], Mapping[str, Any]]) -> None:
        self.workspace = workspace
        self.database = database
        self.namespace = workspace.slug
        self.ledger = LedgerName.of(workspace)
        self.keys = KeyRing(workspace)
        self.live = LiveRuns(database)
        self._group = GroupCommit(database, lambda connection: ledger.sign_head(connection, self._sign))
        self._environments: set[str] = set()
        self._trace = trace

    @cached_property
    def events(self) -> EventMaker:
        """Builder of this workspace's OpenLineage events, created at first use because it imports OpenLineage's client."""
        from tracecore_lineage.events.build import EventMaker

        return EventMaker(self.ledger)

    def new_run_id(self) -> str:
        """Return a new run id, a version 7 UUID."""
        from openlineage.client.uuid import generate_new_uuid

        return str(generate_new_uuid())

    def start(self, run: Run) -> None:
        """Record a run's START and, unless already recorded, its environment; on a database server also lock the run until it ends."""
        body = self.events.start(run)
        try:
            self.live.hold(run.id)
            self.commit(lambda connection: self.append(connection, [*self._environment_events(connection, run.environment), body]))
        except BaseException:
            self.live.release(run.id)
            raise
        if run.environment is not None:
            self._environments.add(run.environment.digest)

    def complete(self, run: Run, inputs: Sequence[RunInput], outputs: Mapping[str, Artifact], facets: Mapping[str, Any] | None = None) -> None:
        """Record a run's COMPLETE with exact inputs, outputs (by port name) and further run facets. Raises RunFailed if the run has already ended."""
        body = self.events.complete(run, inputs, outputs, facets, datetime.now(UTC))
        self._end(run.id, body)

    def fail(self, run: Run, error: str, *, trace: str | None = None, inputs: Sequence[RunInput] = (), aborted: bool = False) -> None:
        """Record a run's FAIL (ABORT if `aborted`) with its error, and release the run's lock; no event is added if the run has already ended."""
        body = self.events.fail(run, error, trace=trace, inputs=inputs, aborted=aborted, ended_at=datetime.now(UTC))

        def work(connection: Connection) -> None:
            if current_state.ending(connection, run.id) is None:
                self.append(connection, [body])

        self.commit(work)
        self.live.release(run.id)

    def abort(self, run_id: str, why: str) -> bool:
        """Record ABORT for a run whose process died; return False if it had already ended. Raises UsageError if the record has no START of it."""

        def work(connection: Connection) -> bool:
            if current_state.ending(connection, run_id) is not None:
                return False
            started = current_state.start_event(connection, run_id)
            if started is None:
                raise UsageError(f"No run {run_id} was started in this record, so there is nothing to close.")
            self.append(connection, [self.events.abort(started, why, datetime.now(UTC))])
            return True

        closed = self.commit(work)
        self.live.release(run_id)
        return closed

    def check(self, check: CheckRun) -> None:
        """Record a finished check as a run of its own (START and COMPLETE), with `dataQualityAssertions` on the datasets that it checked."""
        bodies = self.events.check(check)
        self.commit(lambda connection: self.append(connection, bodies))

    def commit(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **options: P.kwargs) -> T:
        """Run `work` in a writing transaction, shared with concurrent callers, and return its result after the writes are durable.

        `work` is called with a connection that has the write lock, then `args` and `options`. It may run in another caller's thread and must not
        open a transaction of its own. Raises ConnectionLost if the server went away; the error states whether the work is durable, if known.
        """
        done = self._group.run(lambda connection: work(connection, *args, **options))
        self.live.keep()
        return done

    def append_with(self, build: Callable[[Position], bytes | None]) -> ledger.Appended | None:
        """Append the event that `build` makes for the ledger's current position, under the write lock, and return the event's position.

        Returns None, and appends nothing, if `build` returns None.
        """

        def work(connection: Connection) -> ledger.Appended | None:
            head = ledger.head(connection, lock=True)
            note = head.checkpoint or self._sign(head.size, head.root)
            body = build(Position(head.size, head.root, note, connection))
            return None if body is None else self.append(connection, [body])[0]

        return self.commit(work)

    def append_fact(
        self,
        connection: Connection,
        verb: str,
        at: datetime,
        *,
        inputs: Sequence[RunInput] = (),
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
        facets: Mapping[str, Any] | None = None,
    ) -> str:
        """Append START and COMPLETE of a run of job `tracecore.<verb>`, stating a fact about the record (e.g. a new key); return the run id.

        `connection` is in a writing transaction; `inputs` are the versions that the fact is about, `outputs` dataset facets by ref without digest.
        """
        run_id = self.new_run_id()
        self.append(connection, self.events.fact(verb, run_id, facets or {}, at, inputs=inputs, outputs=outputs))
        return run_id

    def reusable(self, key: str) -> list[CompletedRun]:
        """Return up to 8 completed runs with a staleness key (digest of job, parameters and inputs), newest first by (eventTime, event digest)."""
        return self.database.query(current_state.reusable, self.ledger, key)

    def erased(self, artifact: Artifact) -> str | None:
        """Return a sentence with the date and reason of a version's erasure, planned or completed; None if it has none."""
        return self.database.query(tombstones.tombstones, self.ledger, refs=[artifact.ref]).sentence(artifact)

    def withdrawn(self) -> ErasureFilter:
        """Return the files and drives whose consent was withdrawn, which must not be ingested again."""
        return self.database.query(tombstones.withdrawn, self.ledger)

    def artifacts(self, kind: str, name: str) -> list[Artifact]:
        """Return every version of the artifact `name` that this workspace made, newest first."""
        with self.database.read() as connection:
            return list(current_state.versions(connection, self.ledger, kind, name))

    def newest(self, kind: str, name: str) -> Artifact | None:
        """Return the newest version of the artifact `name` that this workspace made; None if there is none."""
        with self.database.read() as connection:
            return next(current_state.versions(connection, self.ledger, kind, name), None)

    def newest_table(self, kind: str, name: str) -> DeltaVersion | None:
        """Return the Delta version that a run of this workspace recorded last for the artifact `name`; None if there is none."""
        return self.database.query(current_state.newest_table, self.ledger, kind, name)

    def facets(self, ref: str) -> dict[str, JSON]:
        """Return the facets recorded for a ref, by name, without OpenLineage's `_producer` and `_schemaURL`."""
        return self.database.query(current_state.facets, self.ledger, ref)

    def trace(self, ref: str) -> Mapping[str, Any]:
        """Return the backward trace of a ref: everything that it was made from, as a JSON object."""
        return self._trace(ref)

    def public_keys(self, connection: Connection) -> list[PublicKey]:
        """Return every key that signs this ledger: this host's keys, the active one first, then those of other hosts from the ledger's events."""
        from tracecore_lineage.catalog.signatures import ledger_keys

        return list({key.id: key for key in (*self.keys.public_keys(), *ledger_keys(connection, self.ledger))}.values())

    def position(self) -> int:
        """Return the number of events in the ledger, which is the position of the next event."""
        return self.database.query(ledger.head).size

    def checkpoint(self) -> str:
        """Return the ledger's head as a signed note; the head of an empty ledger is signed on each call."""
        head = self.database.query(ledger.head)
        return head.checkpoint or self._sign(head.size, head.root)

    def close(self) -> None:
        """Close the record's database connections, which releases the locks of runs started here."""
        self.live.close()
        self.database.close()

    def _end(self, run_id: str, body: bytes) -> None:
        """Append the terminal event of a run and release the run's lock. Raises RunFailed if a different terminal event is already recorded."""

        def work(connection: Connection) -> None:
            ended = current_state.ending(connection, run_id)
            if ended is not None and ended.event_id != ledger.event_id(body):
                raise RunFailed(
                    f"Run {run_id} was closed as {ended.event_type} at {ended.event_time}, before it was done: what it made is not recorded. "
                    "Run it again."
                )
            self.append(connection, [body])

        self.commit(work)
        self.live.release(run_id)

    def append(
        self, connection: Connection, bodies: Sequence[bytes], *, key: PrivateKey | None = None, delegations: Delegations = MappingProxyType({})
    ) -> list[ledger.Appended]:
        """Append events (exact bytes) and their catalog rows in the caller's writing transaction, queue their delivery, and return their positions.

        `key` (by default the active one) signs the new head, at the end of the transaction if several callers share it. `delegations` are, by event
        id, the ledgers for which an imported event may assert facts.
        """
        grouped = key is None and connection.get_execution_options().get("tracecore_grouped")
        appended = ledger.append(connection, bodies, None if grouped else lambda size, root: self._sign(size, root, key))
        rows = []
        written: set[int] = set()
        for body, place in zip(bodies, appended, strict=True):
            if place.new and place.seq not in written:
                written.add(place.seq)
                rows.extend(project(body, place.seq, self.ledger, delegations.get(place.event_id, ())))
        replay.write(connection, rows)
        outbox.enqueue(connection, sorted(written))
        return appended

    def _sign(self, size: int, root: bytes, key: PrivateKey | None = None) -> str:
        """Return the signed checkpoint over a tree's size and root; the key is `key` or, if None, the active key."""
        return notes.sign(key or self.keys.private(), self.ledger.origin, size, root)

    def _environment_events(self, connection: Connection, environment: Environment | None) -> tuple[bytes, ...]:
        """Return START and COMPLETE of the run that records an environment; empty if the environment is None or already recorded."""
        if environment is None or environment.digest in self._environments:
            return ()
        run_id = environment_run(self.ledger, environment.digest)
        if current_state.ending(connection, run_id) is not None:
            return ()
        return self.events.environment(run_id, environment, datetime.now(UTC))
