"""What is wrong in a workspace: crashed runs, what they left behind, what is missing, and what keeps it from working. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from tracecore.errors import TracecoreError
from tracecore.locks import try_run
from tracecore.store import open_store
from tracecore_lineage import ledger
from tracecore_lineage.recover import elsewhere, open_runs
from tracecore_lineage.stored import stored_artifacts
from tracecore_lineage.tables import EVENTS

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["examine"]


def examine(record: RecordWriter) -> dict[str, Any]:
    """Look at a workspace.

    Returns:
        `ok`; `open_runs` with whether each is `live`; `orphans`, what the store holds and no event names; `dangling`, what an event names and the
        store lacks; `problems`, in sentences. Live runs and orphans are no fault.
    """
    live: set[str] = set()
    found = open_runs(record)
    for run in found:
        if _live(record, run.id) or run.parent in live or elsewhere(record, run.id):  # oldest first: a run that a live run started is a part of it
            live.add(run.id)
    runs = [{"run": run.id, "job": run.job, "started_at": run.started_at, "live": run.id in live} for run in found]
    problems = list(_problems(record))
    try:
        dangling, orphans = _store(record, live)
    except (ValueError, KeyError, TypeError) as error:
        dangling, orphans = [], []
        problems.append(f"The catalog can't be read ({error}): run 'tracecore verify', then 'tracecore replay' to make it again from the ledger.")
    ok = len(live) == len(runs) and not dangling and not problems
    return {"ok": ok, "open_runs": runs, "orphans": orphans, "dangling": dangling, "problems": problems}


def _live(record: RecordWriter, run_id: str) -> bool:
    try:
        with try_run(record.workspace.locks, run_id) as gone:
            return not gone
    except OSError:
        return False  # where no lock file can be written no run can be going on


def _store(record: RecordWriter, live: set[str]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Compare what the record names with what lies in the store."""
    store = open_store(record.workspace)
    with record.database.read() as connection:
        artifacts = stored_artifacts(connection, record.namespace)
    dangling: list[dict[str, str]] = []
    named: set[str] = set()
    for artifact in artifacts:
        location = str(artifact.location)
        try:
            if not store.exists(artifact):
                dangling.append({"ref": artifact.ref, "location": location, "why": "missing from the store, or not of its recorded size"})
            named.update(path for path, _ in store.files(artifact))
        except (TracecoreError, OSError, ValueError, KeyError) as error:
            dangling.append({"ref": artifact.ref, "location": location, "why": str(error)})
    orphans = [
        {"path": f"store/staging/{run_id}", "why": "left by a crashed run: 'tracecore recover' removes it"}
        for run_id in store.staged_runs()
        if run_id not in live
    ]
    written = "no event names it: left by a crashed run" + (", or being written by a live one" if live else "")
    orphans += [{"path": f"store/{path}", "why": written} for path in _files(store.root, record.workspace.staging) if path not in named]
    return dangling, orphans


def _files(root: Path, staging: Path) -> Iterator[str]:
    """Walk the store, staging apart; paths relative to its root."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if here / name != staging)
        for name in sorted(files):
            yield (here / name).relative_to(root).as_posix()


def _problems(record: RecordWriter) -> Iterator[str]:
    yield from _keys(record)
    yield from _database(record)
    if not os.access(record.workspace.root, os.W_OK):
        yield f"The workspace {record.workspace.root} can't be written: nothing new can be recorded there."
    yield from _plugins()


def _keys(record: RecordWriter) -> Iterator[str]:
    folder = record.workspace.keys
    try:
        if record.keys.active_id() is None:
            if record.position():
                yield f"No signing key is active in {folder}, although the ledger was signed: restore the keys, or run 'tracecore key rotate'."
            return
        record.keys.private()
    except TracecoreError as error:
        yield str(error)
    for path in (folder, *sorted(folder.glob("*.pem"))):
        mode = path.stat().st_mode & 0o077
        if mode:
            yield f"{path} can be used by others than its owner (mode {path.stat().st_mode & 0o777:o}): run 'chmod go= {path}'."


def _database(record: RecordWriter) -> Iterator[str]:
    with record.database.read() as connection:
        if record.database.dialect == "sqlite":
            found = [row[0] for row in connection.execute(text("PRAGMA quick_check(5)"))]
            if found != ["ok"]:
                yield f"The record's database is damaged: {'; '.join(found)}."
        events = connection.execute(select(func.count()).select_from(EVENTS)).scalar_one()
        size = ledger.head(connection).size
        if events != size:
            yield f"The ledger's head says {size} events and {events} are there: run 'tracecore verify'."


def _plugins() -> Iterator[str]:
    from tracecore.host import PluginHost

    for broken in PluginHost.load().broken:
        yield f"The plugin '{broken.entry_point}' ({broken.distribution} {broken.version}) can't be used: {broken.error}."
