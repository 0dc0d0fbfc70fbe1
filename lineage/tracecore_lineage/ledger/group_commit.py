"""Group commit: callers that come at the same time share one transaction, one signature and one wait for the disk.

Each caller hands in its work and waits. The first to come leads: it takes everything that waits, opens one writing transaction, does each piece of
work in a savepoint of its own, finishes (signs the head) and commits; only then are the callers answered. Those that came meanwhile are led by
the first of them. A lone caller leads itself at once: there is no thread, no timer, and nothing to wait for.

What is answered is durable. A piece of work that raises leaves nothing and gets its own error, the others go on; where the transaction itself
fails, every caller in it gets an error that says so.
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
"""Pieces of work in one transaction: no caller waits for an endless one."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """A piece of work that waits; `turn` is set when it is answered, or when its caller is to lead."""

    work: Callable[[Connection], Any]
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answered: bool = False
    value: Any = None
    error: BaseException | None = None

    def answer(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class GroupCommit:
    """Shares the writing transactions of one database among the threads of this process; processes take turns, as the database has them.

    Args:
        database: whose transactions.
        finish: called once in each transaction, after all work and before its commit.
    """

    def __init__(self, database: Database, finish: Callable[[Connection], None]) -> None:
        self._database = database
        self._finish = finish
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._led = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do a piece of work in a writing transaction; what it wrote is durable when this returns.

        Args:
            work: given a connection in a transaction that holds the write lock. It may run in another caller's thread, sees what earlier work of
                the same transaction wrote, and must not open a transaction of its own.

        Raises:
            RunFailed: the transaction that this work was part of was not made, and why.
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
        return cast("T", ticket.answer())

    def _wait(self, ticket: _Ticket) -> None:
        """Wait to be answered or to lead; an interrupted caller hands its lead over."""
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
        """Commit what waits, the own work first, and hand over to the first that came meanwhile."""
        with self._mutex:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            self._commit(batch)
        except BaseException as error:
            for ticket in batch:
                ticket.error = _told(error)
            raise
        finally:
            for ticket in batch:
                ticket.answered = True
            with self._mutex:
                self._hand_over()
            for ticket in batch:
                ticket.turn.set()

    def _hand_over(self) -> None:
        """Let the first that waits lead; needs the mutex."""
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()
        else:
            self._led = False

    def _commit(self, batch: list[_Ticket]) -> None:
        with self._database.write() as connection:
            connection.execution_options(tracecore_grouped=True)
            for ticket in batch:
                if len(batch) == 1:
                    ticket.value = ticket.work(connection)  # the only piece of work: its transaction is its savepoint
                else:
                    self._attempt(connection, ticket)
            self._finish(connection)

    def _attempt(self, connection: Connection, ticket: _Ticket) -> None:
        """Do one of several pieces of work; what it raises is its own, unless the transaction can't go on."""
        try:
            with connection.begin_nested():
                ticket.value = ticket.work(connection)
        except Exception as error:
            if self._database.dialect.ends_transaction(connection, error):
                raise
            ticket.error = self._database.explained(error, "written")


def _told(error: BaseException) -> BaseException:
    """Return each caller an error of its own that says what became of the transaction it was in."""
    told: BaseException
    if isinstance(error, ConnectionLost):
        told = ConnectionLost(str(error), durable=error.durable)
    elif isinstance(error, UsageError | NegativeVerdict | RunFailed):
        told = next(kind for kind in (UsageError, NegativeVerdict, RunFailed) if isinstance(error, kind))(str(error))
    elif isinstance(error, Exception):
        told = RunFailed(f"What was to be recorded could not be, as the transaction that it shared failed ({type(error).__name__}: {error}).")
    else:
        told = RunFailed(
            f"The writer of the transaction that this shared was stopped ({type(error).__name__}), so that it is not known to be recorded. "
            "Send the same again: what is recorded already is not recorded twice."
        )
    told.__cause__ = error
    return told
