"""`doctor`: crashed runs and their leftovers, missing files, and conditions that prevent recording. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypedDict

from tracecore.errors import TracecoreError
from tracecore.store import open_store
from tracecore.system.settings import Settings
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts, stored_sources
from tracecore_lineage.catalog.tombstones import tombstones
from tracecore_lineage.ledger import ledger
from tracecore_lineage.retention.cleanup import named_files
from tracecore_lineage.retention.recover import OpenRun, claim_dead, lock_was_lost, open_runs
from tracecore_schemas.run import Artifact

__all__ = ["Examination", "examine", "unopened"]


class OpenRunState(TypedDict):
    """A run without a terminal event; `live` is whether its process is alive."""

    run: str
    job: str
    started_at: str
    live: bool


class Examination(TypedDict):
    """Result of `doctor`. Live runs and orphans don't make `ok` false."""

    ok: bool
    open_runs: list[OpenRunState]
    orphans: list[dict[str, str]]
    """`path` and `why` of each file in the store that no event names."""
    dangling: list[dict[str, str]]
    """`ref`, `location` and `why` of each version that an event names but the store lacks."""
    problems: list[str]


def unopened(why: TracecoreError) -> Examination:
    """Return the result of `doctor` for a workspace whose record can't be opened: not ok, with the error as the only problem."""
    return {"ok": False, "open_runs": [], "orphans": [], "dangling": [], "problems": [str(why)]}


def examine(recorder: RecordWriter, settings: Settings | None = None) -> Examination:
    """Return the result of `doctor` for a workspace: open runs, orphans, missing files, problems. `settings` None: read from the environment."""
    live: set[str] = set()
    found = open_runs(recorder)
    for run in found:
        if _live(recorder, run) or run.parent in live:  # oldest first: a run started by a live run is part of it
            live.add(run.id)
    runs = [OpenRunState(run=run.id, job=run.job, started_at=run.started_at, live=run.id in live) for run in found]
    problems = list(_problems(recorder, settings))
    dangling: list[dict[str, str]] = []
    orphans: list[dict[str, str]] = []
    try:
        dangling, orphans = _store(recorder, live)
    except TracecoreError as error:
        problems.append(str(error))
    except (ValueError, KeyError, TypeError) as error:
        problems.append(f"The catalog can't be read ({error}): run 'tracecore verify', then 'tracecore replay' to make it again from the ledger.")
    ok = len(live) == len(runs) and not dangling and not problems
    return {"ok": ok, "open_runs": runs, "orphans": orphans, "dangling": dangling, "problems": problems}


def _live(recorder: RecordWriter, run: OpenRun) -> bool:
    """Whether the process of an open run may be alive, on this host or another."""
    try:
        with claim_dead(recorder, run) as dead:
            return not dead
    except OSError:  # without write access to lock files no run of this host can be live
        with recorder.live.attempt(run.id) as free:
            return not free or lock_was_lost(recorder, run)


def _store(recorder: RecordWriter, live: set[str]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return (versions missing from the store, files in it that no event names), as the entries `dangling` and `orphans` of an examination."""
    store = open_store(recorder.workspace)
    kept = [path for path, _ in store.inventory()]  # first, so that an unreachable store is one problem instead of one per artifact
    with recorder.database.read() as connection:
        artifacts = [*stored_artifacts(connection), *stored_sources(connection)]
        erased = tombstones(connection, recorder.ledger)
    missing: list[tuple[Artifact, str]] = []
    for artifact in artifacts:
        try:
            if erased.unreadable(artifact) is None and not store.exists(artifact):
                missing.append((artifact, "missing from the store, or not of its recorded size"))
        except (TracecoreError, OSError, ValueError, KeyError) as error:
            missing.append((artifact, str(error)))
    named, unreadable = named_files(store, artifacts)
    dangling = [{"ref": artifact.ref, "location": str(artifact.location), "why": why} for artifact, why in (*missing, *unreadable)]
    orphans = [
        {"path": f"store/staging/{run_id}", "why": "left by a crashed run: 'tracecore recover' removes it"}
        for run_id in store.staged_runs()
        if run_id not in live
    ]
    written = "no event names it: left by a crashed run" + (", or being written by a live one" if live else "")
    orphans += [{"path": f"store/{path}", "why": written} for path in kept if path not in named]
    return dangling, orphans


def _problems(recorder: RecordWriter, settings: Settings | None) -> Iterator[str]:
    from tracecore.plugins.host import PluginHost

    yield from _keys(recorder)
    yield from _database(recorder)
    if not os.access(recorder.workspace.root, os.W_OK):
        yield f"The workspace {recorder.workspace.root} can't be written: nothing new can be recorded there."
    with recorder.database.read() as connection:
        invalid = pseudonyms.invalid_names(connection)
        unfinished = tombstones(connection, recorder.ledger).unfinished
    for pseudonym in invalid:
        yield (
            f"The name kept for {pseudonym} is not the one behind it, and is not shown: "
            f"restore the table 'person', or forget it by 'tracecore consent withdraw {pseudonym} --reason TEXT'."
        )
    for erasure in unfinished:
        yield f"The erasure run/{erasure.run} ({erasure.why}) was promised and is not finished: run 'tracecore recover'."
    waiting = [path for path in (recorder.workspace.dagster / "unrecorded").glob("*.json") if not path.name.startswith(".")]
    if waiting:
        many = f"{len(waiting)} steps of Dagster's assets are" if len(waiting) > 1 else "One step of Dagster's assets is"
        yield f"{many} not recorded yet and kept in {waiting[0].parent}: the next such step or build records what waits, or says why it can't."
    for broken in PluginHost.load(settings).broken:
        yield f"The plugin '{broken.entry_point}' ({broken.distribution} {broken.version}) can't be used: {broken.error}."


def _keys(recorder: RecordWriter) -> Iterator[str]:
    folder = recorder.workspace.keys
    try:
        recorder.keys.refuse_joining()
        if recorder.keys.active_id() is None:
            if recorder.position():
                yield f"No signing key is active in {folder}, although the ledger was signed: restore the keys, or run 'tracecore key rotate'."
            return
        recorder.keys.private()
    except TracecoreError as error:
        yield str(error)
    for path in (folder, *sorted(folder.glob("*.pem"))):
        mode = path.stat().st_mode & 0o077
        if mode:
            yield f"{path} can be used by others than its owner (mode {path.stat().st_mode & 0o777:o}): run 'chmod go= {path}'."


def _database(recorder: RecordWriter) -> Iterator[str]:
    with recorder.database.read() as connection:
        yield from recorder.database.dialect.problems(connection)
        miscounted = ledger.miscounted(connection)
        if miscounted is not None:
            yield f"{miscounted}: run 'tracecore verify'."
