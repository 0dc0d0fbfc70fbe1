"""`prune`: removes the bytes of versions that no sealed build depends on; their records stay, with a tombstone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from tracecore.errors import NegativeVerdict, TracecoreError, UsageError
from tracecore.store import Store, open_store
from tracecore.store.protocol import ErasedFile
from tracecore.system.failures import clear_disk_errors
from tracecore_lineage.catalog.delegation import IMPORTS
from tracecore_lineage.catalog.prefix import head, readable_catalog, recorded_at
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts, stored_sources
from tracecore_lineage.catalog.tombstones import tombstones
from tracecore_lineage.ledger.sql_tables import BUILDS, FACETS, STALENESS, select_in
from tracecore_lineage.model import rfc3339
from tracecore_lineage.model.erasure import PRUNE, Erased, Erasure
from tracecore_lineage.retention.cleanup import discard_staged, named_files, orphans, remove_folder
from tracecore_lineage.retention.erasures import carry_out, promise
from tracecore_lineage.retention.recover import exclusive_store, finish_promised
from tracecore_lineage.trace.lineage import trace
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import read_ref, resolve_version
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact

__all__ = ["REASON", "Holds", "Pruned", "holds", "prune"]

Holds = dict[str, list[str]]
"""Refs of the builds that depend on a version, in sealing order, by the version's whole ref."""


def holds(connection: Connection) -> Holds:
    """Return {version ref: refs of the sealed builds that depend on it, in sealing order}."""
    found: Holds = {}
    for build in connection.execute(select(BUILDS.c.ref).order_by(BUILDS.c.seq)).scalars().all():
        for node in trace(connection, build)["nodes"]:
            found.setdefault(node["ref"], []).append(build)
    return found


REASON = "no sealed build stands on it"
_ABANDONED_DAYS = 30
"""Days without change after which the scratch folder of an unfinished step counts as abandoned."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Result of a prune, or of its dry run.

    Attributes:
        erasure: None if no version was pruned.
        finished: run ids of earlier interrupted erasures that were completed now.
        orphans: (path relative to the store, bytes) of files that no event names.
        scratch: names of removed scratch folders.
        staged: run ids with files in staging.
        held: number of stored versions that a sealed build depends on.
        skipped: (ref, reason) of versions that can't be pruned.
    """

    erasure: Erasure | None
    finished: tuple[str, ...]
    orphans: tuple[tuple[str, int], ...]
    scratch: tuple[str, ...]
    staged: tuple[str, ...]
    held: int
    skipped: tuple[tuple[str, str], ...]

    @property
    def size_bytes(self) -> int:
        """Total size in bytes of the pruned versions' files and of the orphans (stored files that no event names)."""
        versions = () if self.erasure is None else self.erasure.versions
        return sum(version.size_bytes for version in versions) + sum(size for _, size in self.orphans)

    def document(self, *, dry_run: bool) -> dict[str, Any]:
        """Return the result of the prune (its plan for a `dry_run`) as a JSON object: erased versions, orphans, scratch and so on."""
        versions = () if self.erasure is None else self.erasure.versions
        return {
            "dry_run": dry_run,
            "run": None if self.erasure is None or dry_run else f"run/{self.erasure.run}",
            "erased": [{"ref": each.ref, "files": len(each.files), "bytes": each.size_bytes, "rows": each.rows} for each in versions],
            "orphans": [{"path": f"store/{path}", "bytes": size} for path, size in self.orphans],
            "scratch": list(self.scratch),
            "staging": list(self.staged),
            "bytes": self.size_bytes,
            "held": self.held,
            "skipped": [{"ref": ref, "why": why} for ref, why in self.skipped],
            "finished": [f"run/{run}" for run in self.finished],
        }


def prune(recorder: RecordWriter, refs: Sequence[str] = (), *, older_than: float | None = None, dry_run: bool = False) -> Pruned:
    """Remove the bytes of versions that no sealed build depends on, and record the erasure; `dry_run` only plans it.

    Args:
        refs: only these versions (the newest if a ref has no version); empty prunes everything, leftovers of crashes included.
        older_than: only versions recorded at least this many days ago.

    Raises:
        UsageError: an unknown ref (names the nearest match), or a negative number of days.
        NegativeVerdict: a sealed build depends on a ref, a run is live, or the catalog differs from the ledger.
    """
    if older_than is not None and not older_than >= 0:
        raise UsageError(f"A number of days was expected, 0 or more, found {older_than}.")
    with clear_disk_errors(recorder.workspace.root), exclusive_store(recorder, "pruned"):
        finished = () if dry_run else tuple(erasure.run for erasure in finish_promised(recorder))
        planned = _plan(recorder, refs, older_than)
        if dry_run:
            return planned
        done = planned.erasure
        if done is not None:
            done = carry_out(recorder, promise(recorder, done))
        if not refs:  # leftovers of crashes, which need no event
            store = open_store(recorder.workspace)
            discard_staged(recorder, store)
            store.erase([path for path, _ in planned.orphans])
            for name in planned.scratch:
                remove_folder(recorder.workspace.root / "scratch" / name)
        return replace(planned, erasure=done, finished=finished)


def _plan(recorder: RecordWriter, refs: Sequence[str], older_than: float | None) -> Pruned:
    """Return what a prune deletes, from the current record and the stored bytes, without changing anything."""
    store = open_store(recorder.workspace)
    now = datetime.now(UTC)
    with recorder.database.read() as connection, readable_catalog():
        held = holds(connection)
        stored = stored_artifacts(connection)
        sources = stored_sources(connection)
        known = tombstones(connection, recorder.ledger)
        chosen = _chosen(connection, refs, held)
        wanted = {artifact.ref for artifact in stored} - held.keys() if chosen is None else chosen
        if older_than is not None:
            limit = rfc3339.instant(now - timedelta(days=older_than))
            wanted = {ref for ref, at in _recorded(connection, wanted).items() if at <= limit}
        finished_keys = {key.removeprefix("sha256:")[:32] for key in connection.execute(select(STALENESS.c.key)).scalars()}
    pruned = [artifact for artifact in stored if artifact.ref in wanted and known.unreadable(artifact) is None]
    others = [artifact for artifact in stored if artifact.ref not in wanted or known.unreadable(artifact) is not None]
    named, unreadable = named_files(store, [*others, *sources])
    kept = named | {str(artifact.location) for artifact, _ in unreadable}  # the location protects all files below it
    versions, skipped = _versions(store, pruned, kept)
    # Another host may be importing into this folder, which no local lock shows.
    spared = f"{IMPORTS}/" if recorder.database.dialect.shared else None
    left = [each for each in orphans(recorder, store) if spared is None or not each[0].startswith(spared)] if chosen is None else []
    erasure = Erasure(recorder.new_run_id(), PRUNE, REASON, rfc3339.instant(now), versions=tuple(versions)) if versions else None
    scratch = _scratch(recorder.workspace.root / "scratch", finished_keys, older_than) if chosen is None else []
    staged = store.staged_runs() if chosen is None else []
    return Pruned(erasure, (), tuple(left), tuple(scratch), tuple(staged), len([each for each in stored if each.ref in held]), tuple(skipped))


def _chosen(connection: Connection, refs: Sequence[str], held: Holds) -> set[str] | None:
    """Return the full refs of the versions that `refs` mean; None without `refs`. NegativeVerdict for one that a sealed build depends on."""
    if not refs:
        return None
    reader = Reader(connection, head(connection))
    chosen: set[str] = set()
    for text in refs:
        ref = read_ref(reader, text)
        if ref.kind == "build" or not (ref.is_artifact or ref.kind == "external"):
            raise UsageError(f"{ref} has no bytes to prune: expected an artifact, such as dataset/NAME or model/NAME@DIGEST.")
        version = resolve_version(reader, ref)
        if version in held:
            *others, last = (build.partition("@")[0] for build in held[version])
            builds = f"{', '.join(others)} and {last} depend" if others else f"{last} depends"
            raise NegativeVerdict(f"{version} stays: {builds} on it, and a sealed build holds what is in its trace.")
        chosen.add(version)
    return chosen


def _recorded(connection: Connection, refs: Iterable[str]) -> dict[str, str]:
    """Return {ref: time at which the ledger recorded its newest `tracecore_artifact` facet}, which may differ from the event's own time."""
    positions: dict[str, int] = {}
    query = select(FACETS.c.subject, FACETS.c.seq).where(FACETS.c.name == "tracecore_artifact")
    for row in select_in(connection, query, FACETS.c.subject, refs):
        positions[row.subject] = max(positions.get(row.subject, -1), row.seq)
    taken = recorded_at(connection, positions.values())
    return {ref: taken[seq] for ref, seq in positions.items() if seq in taken}


def _versions(store: Store, artifacts: Sequence[Artifact], kept: set[str]) -> tuple[list[Erased], list[tuple[str, str]]]:
    """Return (versions with their files outside `kept`, (ref, reason) of versions that can't be pruned). Delta logs stay for `verify`."""
    versions: list[Erased] = []
    skipped: list[tuple[str, str]] = []
    for artifact in artifacts:
        try:
            parts = [part for part in store.parts(artifact) if part.path not in kept and str(artifact.location) not in kept]
        except (TracecoreError, OSError, ValueError, KeyError) as error:
            skipped.append((artifact.ref, str(error)))
            continue
        if any(part.rows is None for part in parts) and artifact.media is Media.DELTA:
            skipped.append((artifact.ref, "a data file of it is missing or damaged: 'tracecore verify' names it"))
            continue
        if parts:
            files = tuple(ErasedFile(part.path, part.digest, part.size_bytes, part.rows) for part in parts)
            version = None if artifact.delta is None else artifact.delta.version
            versions.append(Erased(artifact.ref, str(artifact.location), version, files))
    return versions, skipped


def _scratch(folder: Path, finished: set[str], older_than: float | None) -> list[str]:
    """Return, sorted, the names of scratch folders that are in `finished` (completed steps) or unchanged for `older_than` days (default 30)."""
    if not folder.is_dir():
        return []
    limit = time.time() - 86_400 * (_ABANDONED_DAYS if older_than is None else older_than)
    return sorted(
        each.name
        for each in folder.iterdir()
        if each.is_dir() and (each.name in finished or max(path.stat().st_mtime for path in (each, *each.rglob("*"))) <= limit)
    )
