"""Writer of bundles: the events behind a sealed build's trace, the pruned ledger with their proofs, and the files of its artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, or_, select

from tracecore.errors import NegativeVerdict, UsageError
from tracecore.files import fsync_folder
from tracecore.store import Store, open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import share_store
from tracecore_lineage.bundle.container import ContainerWriter, Entry
from tracecore_lineage.bundle.manifest import EVENTS, MANIFEST, SIGNATURES, STORE, TREE, Manifest, read_manifest, sign
from tracecore_lineage.catalog.current_state import environment_runs
from tracecore_lineage.catalog.delegation import JOB, Import, import_ids, known_imports, read_imports
from tracecore_lineage.catalog.prefix import Prefix, head
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.replay import snapshot
from tracecore_lineage.catalog.stored_artifacts import names_once, stored_artifacts, stored_sources
from tracecore_lineage.catalog.tombstones import tombstones
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.ledger.sql_tables import EDGES, FACETS, RUN_EVENTS, recorded_by, select_in
from tracecore_lineage.model.findings import Progress
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.lineage import imported_leaves, trace
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.relation import Relation
from tracecore_lineage.trace.resolve import build_named
from tracecore_lineage.trace.walk import static_links
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion
from tracecore_schemas.trace import Trace

__all__ = ["Exported", "events_behind", "export_bundle", "whole_file"]

_OF_KEYS = ("tracecore.key_rotate", "tracecore.key_add", "tracecore.key_policy")
_NOT_ABOUT_IT = ("tracecore.environment", "tracecore.bug", JOB, *_OF_KEYS)


def events_behind(connection: Connection, own: LedgerName, trace: Trace, prefix: Prefix, *, since: bool = True) -> dict[str, int]:
    """Return, by event id, the ledger positions of the events that a sealed build's trace depends on.

    These are all events about the trace's runs, checks, environments and datasets, and the imports that brought some of them into the ledger `own`.
    With `since`, key changes of `own`, and cosignatures and erasures of the versions, are added. `prefix` is the ledger part that the build sealed.
    """
    reader = Reader(connection, prefix)
    refs = [node["ref"] for node in trace["nodes"]]
    runs = {run["id"] for run in trace["runs"]}
    checks = reader.checks(of_runs=runs, targets=refs)
    deciding = {check.event_id for check in checks}
    for facets in reader.facets(refs, deleted=True).values():
        deciding.update(facet.event_id for facet in facets.values())
    deciding.update(link.event_id for link in reader.first_readings(node["ref"] for node in trace["nodes"] if node["run"] is None).values())
    runs |= {check.run for check in checks} | set(_runs_of(connection, deciding))
    runs |= set(_environments(connection, reader, runs))
    found = dict(_events(connection, runs, RUN_EVENTS.c.seq < prefix.bound))
    # DatasetEvents have no run.
    described = select_in(connection, select(FACETS.c.event_id, FACETS.c.seq).distinct(), FACETS.c.event_id, deciding)
    found |= {row.event_id: row.seq for row in described}
    found |= {link.event_id: link.seq for link in static_links(reader, Relation(reader), refs, trace["direction"])}
    if since:
        found |= _since(connection, own, refs)
    return found | _imports(connection, own, found, prefix)


def _runs_of(connection: Connection, events: Iterable[str]) -> Iterator[str]:
    return (row.run_id for row in select_in(connection, select(RUN_EVENTS.c.run_id), RUN_EVENTS.c.event_id, events))


def _events(connection: Connection, runs: Iterable[str], where: ColumnElement[bool]) -> Iterator[tuple[str, int]]:
    query = select(RUN_EVENTS.c.event_id, RUN_EVENTS.c.seq).where(where)
    return ((row.event_id, row.seq) for row in select_in(connection, query, RUN_EVENTS.c.run_id, runs))


def _environments(connection: Connection, reader: Reader, runs: Iterable[str]) -> Iterator[str]:
    """Yield the ids of the runs that record the environment (installed distributions) in which each of the runs `runs` was executed."""
    ran_in: dict[str, set[str]] = {}
    for target, facets in reader.facets(f"run:{run}" for run in runs).items():
        digest = facets["tracecore_execution"].value.get("environment_digest") if "tracecore_execution" in facets else None
        if isinstance(digest, str):
            ran_in.setdefault(digest, set()).add(target.removeprefix("run:"))
    for digest, there in ran_in.items():
        yield from environment_runs(connection, digest, there)


def _since(connection: Connection, own: LedgerName, refs: Iterable[str]) -> dict[str, int]:
    """Return ledger positions, by event id, of this ledger's key changes and of its facts about the versions `refs` (cosignatures, erasures)."""
    ours = recorded_by(own)
    facts = ours & RUN_EVENTS.c.job_name.like("tracecore.%") & RUN_EVENTS.c.job_name.not_in(_NOT_ABOUT_IT)
    runs = _rewriting(connection, own, refs)
    for column in (EDGES.c.ref, FACETS.c.subject):
        query = select(RUN_EVENTS.c.run_id).join(column.table, column.table.c.event_id == RUN_EVENTS.c.event_id).where(facts)
        runs.update(row.run_id for row in select_in(connection, query, column, refs))
    found = dict(_events(connection, runs, ours))
    keys = select(RUN_EVENTS.c.event_id, RUN_EVENTS.c.seq).where(ours, or_(*(RUN_EVENTS.c.job_name == name for name in _OF_KEYS)))
    return found | {row.event_id: row.seq for row in connection.execute(keys)}


def _rewriting(connection: Connection, own: LedgerName, refs: Iterable[str]) -> set[str]:
    """Return the ids of the erasure runs that rewrote commits in the logs of the Delta tables to which the versions `refs` belong."""
    tables = {str(artifact.location) for artifact in stored_artifacts(connection, refs=list(refs)) if artifact.delta is not None}
    erasures = tombstones(connection, own).erasures if tables else ()
    return {erasure.run for erasure in erasures if any(gone.table in tables for gone in erasure.commits)}


def _imports(connection: Connection, own: LedgerName, found: dict[str, int], prefix: Prefix) -> dict[str, int]:
    """Return ledger positions, by event id, of the imports within `prefix` that brought the events `found`, including imports nested in imports."""
    behind = frozenset(found)
    every = read_imports(connection, import_ids(connection))
    bringing = {each.event_id: each for each in every if each.seq < prefix.bound and not each.members.isdisjoint(behind)}
    chosen = {identity for identity, each in bringing.items() if each.importer == own}
    waiting = list(chosen)
    while waiting:
        within = (bringing[waiting.pop()].members & bringing.keys()) - chosen
        chosen |= within
        waiting.extend(within)
    return dict(_events(connection, _runs_of(connection, chosen), RUN_EVENTS.c.seq < prefix.bound))


@dataclass(frozen=True, slots=True)
class Exported:
    """Summary of an exported bundle; `artifacts` counts versions with bytes in it."""

    build: str
    events: int
    artifacts: int
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """Content of a bundle before its files are copied.

    Attributes:
        manifest: without entries for a new bundle; complete for an imported build, which is exported unchanged.
        files: of each file, by its name below `store/` in the bundle, the version and the path in this store.
        signatures: those of an imported bundle; None for a new one, which is signed when written.
    """

    manifest: Manifest
    parts: Sequence[pruned_tree.Part]
    leaves: Sequence[ledger.Leaf]
    files: Mapping[str, tuple[Artifact, str]]
    signatures: bytes | None = None


def export_bundle(recorder: RecordWriter, build: str, path: Path, *, progress: Progress | None = None) -> Exported:
    """Write a build to a bundle file, verifiable without this workspace; return its summary. An imported bundle is reproduced byte for byte.

    Raises:
        UsageError: the build does not exist, or the file can't be written; an existing file is replaced only on success.
        NegativeVerdict: catalog or ledger differ from what the build records, or a stored file is missing (of an imported build, also changed).
    """
    with share_store(recorder.workspace.locks):  # nothing is erased while it is copied
        store = open_store(recorder.workspace)
        with recorder.database.read() as connection:
            plan = _plan(connection, recorder, store, build)
        try:
            with whole_file(path) as temporary, temporary.open("wb+") as stream, clear_disk_errors(path.parent):
                done = _write(plan, ContainerWriter(stream), recorder, store, progress)
        except OSError as error:
            raise UsageError(f"The bundle can't be written in {path.parent}: {error.strerror or error}.") from error
    return replace(done, size_bytes=path.stat().st_size)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which atomically replaces `path` if the block ends without an error, and is removed otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")  # per process: another one may write the same file
    try:
        yield temporary
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        with suppress(OSError):  # an error in the block is the one to report
            temporary.unlink(missing_ok=True)


def _plan(connection: Connection, recorder: RecordWriter, store: Store, build: str) -> _Plan:
    """Return the planned content of a build's bundle. Raises NegativeVerdict if the ledger or the catalog differs from what was recorded."""
    found = build_named(Reader(connection, head(connection)), build)
    brought = next(known_imports(connection, found.ref), None)
    if brought is not None:
        return _plan_import(connection, store, brought)
    answer = trace(connection, found.ref)
    chosen = events_behind(connection, recorder.ledger, answer, found.prefix)
    at = ledger.head(connection)
    parts = tuple(pruned_tree.prune(ledger.read(connection), chosen, {found.position, found.position + 1}))
    if pruned_tree.fold(parts, ())[0].root() != at.root:
        raise NegativeVerdict(f"{found.ref} can't be exported: the ledger is not what was recorded. 'tracecore verify' says what differs.")
    leaves = list(ledger.read_at(connection, sorted(chosen.values())))
    with snapshot(leaves, recorder.ledger, at.size) as made:
        if {**trace(made, found.ref), "later": []} != {**answer, "later": []}:
            raise NegativeVerdict(
                f"{found.ref} can't be exported: the catalog differs from the events about it. 'tracecore verify' names what differs."
            )
        erased = tombstones(made, recorder.ledger)
        kept = stored_artifacts(made, refs=[node["ref"] for node in answer["nodes"]])
        # A bundle has only whole versions; partly erased ones are left out, and its tombstones list them.
        gone = {artifact.ref for artifact in kept if erased.of(artifact)}
        artifacts = [artifact for artifact in kept if artifact.ref not in gone]
        sources = stored_sources(made, runs={run["id"] for run in answer["runs"]})
    manifest = Manifest(
        found.ref,
        recorder.namespace,
        recorder.workspace.ledger_id,
        found.position,
        at.size,
        at.checkpoint,
        {key.id: key.pem for key in recorder.public_keys(connection)},
        tuple(sorted({artifact.ref for artifact in artifacts})),
        (),
    )
    return _Plan(manifest, parts, leaves, {name: (artifact, name) for name, artifact in names_once(store, [*sources, *artifacts])})


def _plan_import(connection: Connection, store: Store, brought: Import) -> _Plan:
    """Return the plan to export an imported bundle again, with each file's path in this store. Raises NegativeVerdict if files are missing."""
    manifest = read_manifest(jcs(brought.facet["manifest"]), brought.build)
    leaves = list(imported_leaves(connection, brought))
    local = {(each.ref, each.media, each.delta): each for each in stored_artifacts(connection, refs=manifest.stored)}
    files: dict[str, tuple[Artifact, str]] = {}
    there: dict[tuple[str, Media, str | None, DeltaVersion | None], tuple[Artifact, str]] = {}
    with snapshot(leaves, manifest.ledger_name, manifest.size) as made:
        for source in stored_sources(made, runs={run["id"] for run in trace(made, brought.build)["runs"]}):
            files[str(source.location)] = (source, str(source.location))
        for artifact in stored_artifacts(made, refs=manifest.stored):
            here = local.get((artifact.ref, artifact.media, artifact.delta))
            if here is None:
                raise NegativeVerdict(f"{brought.build} can't be exported: the bytes of {artifact.ref} are not in this workspace any more.")
            there[here.ref, here.media, here.location, here.delta] = (here, str(artifact.location))
    for name, here in names_once(store, [here for here, _ in there.values()]):
        files[f"{there[here.ref, here.media, here.location, here.delta][1]}{name.removeprefix(str(here.location))}"] = (here, name)
    return _Plan(manifest, pruned_tree.read_parts(brought.facet["tree"]), leaves, files, jcs(brought.facet["signatures"]))


def _write(plan: _Plan, writer: ContainerWriter, recorder: RecordWriter, store: Store, progress: Progress | None) -> Exported:
    """Write a planned bundle with `writer`; return its summary with `size_bytes` 0. NegativeVerdict if a file is missing or an import's differs."""
    total = sum(len(leaf.body) for leaf in plan.leaves)
    total += sum({artifact.ref: artifact.size_bytes or 0 for artifact, _ in plan.files.values()}.values())
    done = 0

    def count(name: str, size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, max(done, total), name)

    entries: list[Entry] = [writer.add(TREE, (jcs(pruned_tree.written(part)) + b"\n" for part in plan.parts))]
    entries.append(writer.add(EVENTS, (leaf.body for leaf in plan.leaves), partial(count, EVENTS)))
    for name, (artifact, here) in sorted(plan.files.items()):
        try:
            with store.fetched(artifact, here).open("rb") as file:
                entries.append(writer.add(STORE + name, file, partial(count, name)))
        except FileNotFoundError:
            raise NegativeVerdict(f"{plan.manifest.build} can't be exported: '{here}' of {artifact.ref} is missing from the store.") from None
    if plan.signatures is None:
        manifest = replace(plan.manifest, entries=tuple(entries))
        signatures = sign(manifest.data, recorder.keys.private())
    else:
        manifest, signatures = plan.manifest, plan.signatures
        for expected, found in zip(manifest.entries, entries, strict=True):
            if expected != found:
                raise NegativeVerdict(f"{manifest.build} can't be exported: {expected.name} is not what came in its bundle. Run 'tracecore verify'.")
    writer.add(MANIFEST, [manifest.data])
    writer.add(SIGNATURES, [signatures])
    writer.close()
    return Exported(manifest.build, len(plan.leaves), len(manifest.stored), len(plan.files), 0)
