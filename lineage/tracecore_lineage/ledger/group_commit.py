"""Group commit: concurrent callers share one transaction, one signature and one wait for the disk.

Each caller submits work and waits. The first becomes the leader: it takes all waiting work, opens one writing transaction, runs each piece in its own
savepoint, finishes (signs the head) and commits; then all callers get their results, and the first of those that arrived meanwhile leads next. A
single caller leads at once, without any thread or timer.

A returned result is durable. Work that raises is rolled back and only its caller gets the error; if the whole transaction fails, every caller gets
an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from tracecore.errors import NegativeVerdict, RunFailed, UsageError
from tracecore_lineage.ledger.database import ConnectionLost, Database

__all__ = ["GroupCommit"]

T = TypeVar("T")
MOST = 256
"""Maximum pieces of work per transaction, so that no caller waits indefinitely."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """A piece of waiting work; `turn` is set when it is answered, or when its caller becomes the leader."""

    work: Callable[[Connection], Any]
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answered: bool = False
    value: Any = None
    error: BaseException | None = None


class GroupCommit:
    """Shares a database's writing transactions among this process's threads; `finish` is called once per transaction, just before its commit."""

    def __init__(self, database: Database, finish: Callable[[Connection], None]) -> None:
        self._database = database
        self._finish = finish
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._led = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` with a connection in a writing transaction shared by several callers; return its result once the transaction is durable.

        `work` may run in another caller's thread, sees the writes of earlier work in the same transaction, and must not open a transaction of its
        own. Its errors are raised unchanged; raises RunFailed if the shared transaction failed.
        """
        self._database.refuse_nested()
        ticket = _Ticket(work)
        with self._mutex:
            self._waiting.append(ticket)
            if not self._led:
                self._led = ticket.leads = True
        if not ticket.leads:
            self._wait(ticket)
        if not ticket.answered:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return cast("T", ticket.value)

    def _wait(self, ticket: _Ticket) -> None:
        """Wait until a ticket (queued work) is answered or leads the next batch; if interrupted, remove it and, if it led, let the next one lead."""
        try:
            ticket.turn.wait()
        except BaseException:
            with self._mutex:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                if ticket.leads and not ticket.answered:
                    self._hand_over()
            raise

    def _lead(self) -> None:
        """Commit a batch of waiting work, including the caller's own, store each caller's result, and make the next waiting caller the leader."""
        with self._mutex:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            self._commit(batch)
        except BaseException as error:
            for ticket in batch:
                ticket.error = _copied(error)
            raise
        finally:
            for ticket in batch:
                ticket.answered = True
            with self._mutex:
                self._hand_over()
            for ticket in batch:
                ticket.turn.set()

    def _hand_over(self) -> None:
        """Make the caller of the first waiting ticket (queued work) the leader of the next batch; the caller must have the mutex."""
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()
        else:
            self._led = False

    def _commit(self, batch: list[_Ticket]) -> None:
        """Run a batch of work in one writing transaction, then the constructor's `finish`, and commit. Several pieces run in a savepoint each."""
        with self._database.write() as connection:
            connection.execution_options(tracecore_grouped=True)
            for ticket in batch:
                if len(batch) == 1:
                    ticket.value = ticket.work(connection)  # a single piece of work needs no savepoint
                else:
                    self._attempt(connection, ticket)
            self._finish(connection)

    def _attempt(self, connection: Connection, ticket: _Ticket) -> None:
        """Run a ticket's work in a savepoint and store its result or error in the ticket; re-raise an error that ended the transaction."""
        try:
            with connection.begin_nested():
                ticket.value = ticket.work(connection)
        except Exception as error:
            if self._database.dialect.ends_transaction(connection, error):
                raise
            ticket.error = self._database.explained(error, "written")


def _copied(error: BaseException) -> BaseException:
    """Return a new error for one caller, which states why the shared transaction failed: of the same kind, or RunFailed for unexpected errors."""
    copied: BaseException
    if isinstance(error, ConnectionLost):
        copied = ConnectionLost(str(error), durable=error.durable)
    elif isinstance(error, UsageError | NegativeVerdict | RunFailed):
        copied = next(kind for kind in (UsageError, NegativeVerdict, RunFailed) if isinstance(error, kind))(str(error))
    elif isinstance(error, Exception):
        copied = RunFailed(f"What was to be recorded could not be, as the transaction that it shared failed ({type(error).__name__}: {error}).")
    else:
        copied = RunFailed(
            f"The writer of the transaction that this shared was stopped ({type(error).__name__}), so that it is not known to be recorded. "
            "Send the same again: what is recorded already is not recorded twice."
        )
    copied.__cause__ = error
    return copied
