"""SQLite file of a campaign: an append-only log, tables derived from the log, and durable transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError
from tracecore_labeling.campaign.clock import Clock
from tracecore_labeling.campaign.log import Action, Entry
from tracecore_labeling.campaign.state import Settings, Stage, frame_of
from tracecore_labeling.linking import RecordedFrame
from tracecore_schemas.canonical import JSON, jcs

__all__ = ["CampaignDatabase", "open_database"]

_FORMAT = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS log (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    task TEXT,
    who TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS log_stays BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log of a campaign is never changed'); END;
CREATE TRIGGER IF NOT EXISTS log_keeps BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log of a campaign is never changed'); END;
CREATE INDEX IF NOT EXISTS log_of_task ON log (task, seq);
CREATE TABLE IF NOT EXISTS tasks (
    task TEXT PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    review INTEGER NOT NULL,
    stage TEXT NOT NULL,
    labeler TEXT,
    reviewer TEXT,
    until INTEGER,
    refusals INTEGER NOT NULL DEFAULT 0,
    next_ordinal INTEGER NOT NULL DEFAULT 1,
    reviewed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_next ON tasks (stage, position);
CREATE INDEX IF NOT EXISTS tasks_held ON tasks (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS barred (task TEXT NOT NULL, labeler TEXT NOT NULL, PRIMARY KEY (task, labeler)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
    id TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    who TEXT NOT NULL,
    digest TEXT NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (who TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open a labeling campaign's SQLite file; create its tables if it is new. Raises sqlite3.DatabaseError if the file has another format.

    Commits are on disk when they return (WAL with synchronous=FULL) and survive a power cut.
    """
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA busy_timeout = 60000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in {0, _FORMAT}:
            raise sqlite3.DatabaseError(f"it has format {found}, this version reads format {_FORMAT}")  # noqa: TRY301  # closed below with the rest
        if found == 0:
            # One transaction: a kill leaves all tables or none.
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


_INSERT = "INSERT INTO log (seq, at, action, task, who, detail) VALUES (?, ?, ?, ?, ?, ?)"


class CampaignDatabase:
    """One campaign's SQLite file, opened or created. Raises UsageError if the file is not a campaign."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._inside = False
        self._settings: Settings | None = None
        self._now: int | None = None
        try:
            self._db = open_database(path)
        except sqlite3.DatabaseError as error:
            raise UsageError(f"The campaign file {path} can't be opened: {error}.") from error

    def close_file(self) -> None:
        """Close the connection to the campaign's database file. Whether the campaign is open or closed does not change."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one durable transaction, rolled back on an exception. A nested block becomes part of the outer transaction."""
        if self._inside:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._inside = True
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._inside = False

    @property
    def settings(self) -> Settings:
        """The settings of the campaign in this database file. Raises UsageError if no campaign was created in it."""
        if self._settings is None:
            row = self._db.execute("SELECT detail FROM log WHERE seq = 1").fetchone()
            if row is None:
                raise UsageError(f"The campaign file {self.path} is empty: nothing was made in it.")
            self._settings = Settings.from_json(json.loads(row[0]))
        return self._settings

    def exists(self) -> bool:
        """Whether a campaign was created in this database file."""
        return self._db.execute("SELECT 1 FROM log WHERE seq = 1").fetchone() is not None

    def is_closed(self) -> bool:
        """Whether the campaign is closed: it accepts no more claims, submissions or reviews."""
        # Closing is the last entry of a log.
        return bool(self._db.execute("SELECT action FROM log ORDER BY seq DESC LIMIT 1").fetchone() == (Action.CLOSE,))

    def has(self, task: str) -> bool:
        """Whether the campaign has a task with this id."""
        return self._db.execute("SELECT 1 FROM tasks WHERE task = ?", (task,)).fetchone() is not None

    def submission_of(self, task: str) -> str | None:
        """Return the id of a task's last submission; None without one."""
        detail = self._last_detail(task, Action.SUBMIT)
        return None if detail is None else str(detail["submission"])

    def entries(self, task: str | None = None) -> Iterator[Entry]:
        """Yield the entries of the campaign's log in the order of their creation; only entries about `task` if it is set."""
        where, given = ("WHERE task = ?", (task,)) if task is not None else ("", ())
        for seq, at, action, of, who, detail in self._db.execute(f"SELECT seq, at, action, task, who, detail FROM log {where} ORDER BY seq", given):  # noqa: S608  # fixed words
            yield Entry(seq, at, Action(action), of, who, json.loads(detail))

    def counts(self) -> dict[str, int]:
        """Return the number of tasks in each stage (`open`, `claimed`, `submitted`, `reviewing`, `done`), 0 included."""
        found = dict(self._db.execute("SELECT stage, count(*) FROM tasks GROUP BY stage"))
        return {stage: found.get(stage, 0) for stage in (Stage.OPEN, Stage.CLAIMED, Stage.SUBMITTED, Stage.REVIEWING, Stage.DONE)}

    def table(self) -> dict[str, tuple[Any, ...]]:
        """Return by task id (queue position, stage, labeler, reviewer, claim's end in µs, refusal count, next label's number); None if not set."""
        columns = "task, position, stage, labeler, reviewer, until, refusals, next_ordinal"
        return {row[0]: row[1:] for row in self._db.execute(f"SELECT {columns} FROM tasks ORDER BY position")}  # noqa: S608  # fixed words

    def barred(self) -> set[tuple[str, str]]:
        """Return (task id, labeler) pairs: the labeler may not claim this task again, having refused it or had their labels for it rejected."""
        return set(self._db.execute("SELECT task, labeler FROM barred"))

    def frame(self, task: str) -> RecordedFrame:
        """Return the recorded camera or LiDAR frame that a task asks to label. Raises UsageError if no task of the campaign has this id."""
        detail = self._last_detail(task, Action.TASK)
        if detail is None:
            raise UsageError(f"There is no task '{task}' in the campaign '{self.settings.name}'.")
        return frame_of(detail["frame"])

    def workers(self) -> dict[str, Any]:
        """Return the stored state (a JSON object) of each simulated labeler, by pseudonym."""
        return {who: json.loads(state) for who, state in self._db.execute("SELECT who, state FROM workers ORDER BY who")}

    def keep_worker(self, who: str, state: Mapping[str, JSON]) -> None:
        """Store the state of the simulated labeler with the pseudonym `who`, replacing the earlier state."""
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?)", (who, jcs(state).decode()))

    def _time(self) -> int:
        """Return the time for new log entries, µs since the Unix epoch: the same within an `_action` block, and never before the last entry's."""
        if self._now is None:
            last = self._db.execute("SELECT at FROM log ORDER BY seq DESC LIMIT 1").fetchone()
            now = max(self.clock.now(), last[0] if last else 0)
            if not self._inside:
                return now
            self._now = now
        return self._now

    @contextmanager
    def _action(self) -> Iterator[None]:
        """Run the block as one transaction in which all new log entries get the same time."""
        self._now = None
        with self.transaction():
            try:
                yield
            finally:
                self._now = None

    def _log(self, action: Action, task: str | None, who: str | None, detail: Mapping[str, JSON]) -> int:
        """Append an entry to the campaign's log and return its position. Positions have no gaps, so that a missing entry is detected."""
        seq: int = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM log").fetchone()[0]
        self._db.execute(_INSERT, (seq, self._time(), action, task, who, jcs(detail).decode()))
        return seq

    def _last_detail(self, task: str, action: Action) -> dict[str, Any] | None:
        """Return the JSON detail of the latest log entry that records this action on a task; None if the log has no such entry."""
        row = self._db.execute("SELECT detail FROM log WHERE task = ? AND action = ? ORDER BY seq DESC LIMIT 1", (task, action)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def _row(self, task: str) -> dict[str, Any]:
        """Return a task's row in the table `tasks` as values by column name. Raises UsageError if no task has this id."""
        cursor = self._db.execute("SELECT * FROM tasks WHERE task = ?", (task,))
        row = cursor.fetchone()
        if row is None:
            raise UsageError(f"There is no task '{task}' in the campaign '{self.settings.name}'.")
        return dict(zip((column[0] for column in cursor.description), row, strict=True))

    def _set(self, task: str, **columns: Any) -> None:
        """Update the given columns in a task's row of the table `tasks`."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._db.execute(f"UPDATE tasks SET {names} WHERE task = ?", (*columns.values(), task))  # noqa: S608  # names from this file
