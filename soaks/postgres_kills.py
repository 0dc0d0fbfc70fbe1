"""PostgreSQL killed at random moments under eight writer processes: nothing acknowledged is lost or there twice, and history never forks.

The server is killed as a power cut kills it: SIGKILL for the postmaster and every process of it. What the operating system had not written by then is
still written: of a machine's own power cut this says nothing (the order of syncs is PostgreSQL's business).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postgres_server import PostgresServer
from producers_at_work import Judge, Producers, judged, opened
from trials import Trial, Try

__all__ = ["PostgresKills"]


class PostgresKills:
    """Each trial is a kill in the middle of writes that go on until all of theirs is acknowledged.

    Args:
        processes: of writers.
        events: that each writer sends in a trial, next to those of others.
    """

    name = "postgres"
    unit = "kills"
    full = 50

    def __init__(self, processes: int = 8, threads: int = 2, events: int = 25) -> None:
        self._processes = processes
        self._threads = threads
        self._events = events

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        from tracecore.workspace import Workspace

        workspace = Workspace.create(folder / "workspace", slug="soak").root
        judge = Judge()
        with PostgresServer() as server:
            url = server.url()
            with opened(workspace, url):  # the tables are made, once
                pass
            with Producers(workspace, processes=self._processes, threads=self._threads, catalog_url=url) as producers:
                yield lambda number: self._trial(number, server, producers, judge, workspace, url)

    def _trial(self, number: int, server: PostgresServer, producers: Producers, judge: Judge, workspace: Path, url: str) -> Trial:
        chance = random.Random(number)
        producers.order(first=number * self._events, events=self._events, sends=1, most=chance.choice((1, 3, 20)), seed=number)
        time.sleep(chance.uniform(0, 0.4))
        server.kill()
        time.sleep(chance.uniform(0, 0.2))
        server.start()
        answers = producers.answers()
        judge.told(answers)
        counts = {
            "writers cut off": sum(answer["retried"] > 0 for answer in answers),
            "acknowledged events": sum(len(answer["acknowledged"]) for answer in answers),
        }
        return Trial(number, tuple(judged(judge, workspace, url)), counts)
