"""Thirty-two writers, a thousand events each, every event sent twice: all are there once, in one history. On PostgreSQL, and on SQLite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postgres_server import PostgresServer
from producers_at_work import Judge, Producers, judged, opened
from trials import Trial, Try

from tracecore_lineage.api.binding import BEGINNING

__all__ = ["DATABASES", "ManyProducers"]

DATABASES = ("postgresql", "sqlite")


class ManyProducers:
    """Trial 0 is on PostgreSQL, trial 1 on SQLite, and so on in turns.

    Args:
        processes: of writers.
        threads: writers in each.
        events: of each writer.
    """

    name = "producers"
    unit = "runs of 32,000 events sent twice"
    full = 2

    def __init__(self, processes: int = 8, threads: int = 4, events: int = 1_000) -> None:
        self._processes = processes
        self._threads = threads
        self._events = events

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        with PostgresServer() as server:

            def attempt(number: int) -> Trial:
                url = None
                if DATABASES[number % 2] == "postgresql":
                    server.ask([f"CREATE DATABASE trial{number}"])
                    url = server.url(f"trial{number}")
                return self._trial(number, folder / f"workspace{number}", url)

            yield attempt

    def _trial(self, number: int, folder: Path, url: str | None) -> Trial:
        from tracecore.workspace import Workspace

        workspace = Workspace.create(folder, slug="soak").root
        with opened(workspace, url):  # the tables are made, once
            pass
        judge = Judge()
        with Producers(workspace, processes=self._processes, threads=self._threads, catalog_url=url) as producers:
            producers.order(first=0, events=self._events, sends=2, most=3, seed=number)
            answers = producers.answers()
        judge.told(answers)
        broken = [*judged(judge, workspace, url), *self._counted(answers, judge, workspace, url)]
        shutil.rmtree(folder)
        return Trial(number, tuple(broken), {f"distinct events on {DATABASES[number % 2]}": len(judge.acknowledged)})

    def _counted(self, answers: list[dict[str, int]], judge: Judge, workspace: Path, url: str | None) -> list[str]:
        """Each event was new to exactly one call, and known to the other."""
        expected = self._processes * self._threads * self._events
        with opened(workspace, url) as record:
            position = record.recorder.position()
        found = {
            "distinct events acknowledged": len(judge.acknowledged),
            "events in the ledger": position - BEGINNING,
            "answers that called an event new": sum(answer["recorded"] for answer in answers),
            "answers that called an event known": sum(answer["known"] for answer in answers),
        }
        return [f"expected {expected} {what}, found {count}" for what, count in found.items() if count != expected]
