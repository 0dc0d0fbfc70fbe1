"""Writing a bundle: a sealed build's events, the pruned ledger around them, and every file that its artifacts stand on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tracecore.errors import NegativeVerdict, UsageError
from tracecore.files import fsync_folder
from tracecore.store import Store, open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import share_store
from tracecore_lineage import ledger
from tracecore_lineage.bundle import selection, tree
from tracecore_lineage.bundle.container import ContainerWriter, Entry
from tracecore_lineage.bundle.manifest import EVENTS, MANIFEST, SIGNATURES, STORE, TREE, Manifest, read_manifest, sign
from tracecore_lineage.queries.named import build_named
from tracecore_lineage.queries.prefix import head
from tracecore_lineage.queries.question import trace
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.queries.standing import imported_leaves
from tracecore_lineage.replica import replica
from tracecore_lineage.retention.tombstones import tombstones
from tracecore_lineage.sealing.keys import PublicKey
from tracecore_lineage.stored import names_once, stored_artifacts, stored_sources
from tracecore_lineage.voices import Import, known_imports
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["Exported", "export_bundle"]

Told = Callable[[int, int, str], None]
"""Told how many bytes are written, of about how many, and which entry is being written."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a bundle holds: the build, and how many events, versions and files of how many bytes."""

    build: str
    events: int
    artifacts: int
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that goes into a bundle but the files' digests.

    Attributes:
        manifest: without entries where the bundle is made anew; whole where an imported build goes on as it came.
        parts: the pruned ledger.
        leaves: the events, at their places in it.
        files: of each file its name below `store/`, the version it is of, and its name in this store.
        signatures: those that an imported bundle came with.
    """

    manifest: Manifest
    parts: Sequence[tree.Part]
    leaves: Sequence[ledger.Leaf]
    files: Sequence[tuple[str, Artifact, str]]
    signatures: bytes | None = None


def export_bundle(record: RecordWriter, build: str, path: Path, *, told: Told | None = None) -> Exported:
    """Write a sealed build into one file that verifies without this workspace. The file is whole or it is not there.

    A build that was imported goes on as the very bundle that it came in.

    Args:
        record: the workspace's.
        build: its name or ref.
        path: the file to write.
        told: told how far it is.

    Raises:
        UsageError: no such build, or the file can't be written.
        NegativeVerdict: something that the build stands on is not in this workspace as it was recorded; it is named.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")  # of its own: another process may write the same file
    with share_store(record.workspace.locks):  # nothing is erased while it is copied
        store = open_store(record.workspace)
        with record.database.read() as connection:
            plan = _plan(connection, record, store, build)
        try:
            with temporary.open("wb+") as stream, clear_disk_errors(path.parent):
                done = _write(plan, ContainerWriter(stream), record, store, told)
            temporary.replace(path)
            fsync_folder(path.parent)
        except OSError as error:
            raise UsageError(f"The bundle can't be written in {path.parent}: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):  # what stands in its way was said
                temporary.unlink(missing_ok=True)
    return replace(done, size_bytes=path.stat().st_size)


def _plan(connection: Connection, record: RecordWriter, store: Store, build: str) -> _Plan:
    found = build_named(Reader(connection, head(connection)), build)
    brought = next(known_imports(connection, found.ref), None)
    if brought is not None:
        return _again(connection, store, brought)
    told = trace(connection, found.ref)
    chosen = selection.events_behind(connection, record.ledger, told, found.prefix)
    at = ledger.head(connection)
    parts = tuple(tree.prune(ledger.read(connection), chosen, {found.position, found.position + 1}))
    if tree.fold(parts, ())[0].root() != at.root:
        raise NegativeVerdict(f"{found.ref} can't be exported: the ledger is not what was recorded. 'tracecore verify' says what differs.")
    leaves = list(ledger.read_at(connection, sorted(chosen.values())))
    with replica(leaves, record.ledger, at.size) as made:
        if {**trace(made, found.ref), "later": []} != {**told, "later": []}:
            raise NegativeVerdict(
                f"{found.ref} can't be exported: the catalog says of it what its events don't. 'tracecore verify' names what differs."
            )
        erased = tombstones(made, record.ledger)
        kept = stored_artifacts(made, refs=[node["ref"] for node in told["nodes"]])
        # What is left of a version after an erasure stays here: a bundle holds versions whole, and says what is gone of which.
        gone = {artifact.ref for artifact in kept if erased.of(artifact)}
        artifacts = [artifact for artifact in kept if artifact.ref not in gone]
        sources = stored_sources(made, runs={run["id"] for run in told["runs"]})
    keys: Sequence[PublicKey] = record.public_keys(connection)
    manifest = Manifest(
        found.ref,
        record.namespace,
        record.workspace.ledger_id,
        found.position,
        at.size,
        at.checkpoint,
        {key.id: key.pem for key in keys},
        tuple(sorted({artifact.ref for artifact in artifacts})),
        (),
    )
    files = {name: (name, artifact, name) for name, artifact in names_once(store, [*sources, *artifacts])}
    return _Plan(manifest, parts, leaves, [files[name] for name in sorted(files)])


def _again(connection: Connection, store: Store, brought: Import) -> _Plan:
    """Plan the bundle that a build came in; of its files each lies where the import, or one before it, put it."""
    manifest = read_manifest(jcs(brought.facet["manifest"]), brought.build)
    leaves = list(imported_leaves(connection, brought))
    local = {(each.ref, each.media, each.delta): each for each in stored_artifacts(connection, refs=manifest.stored)}
    files: dict[str, tuple[str, Artifact, str]] = {}
    there: dict[tuple[str, Media, str | None, DeltaVersion | None], tuple[Artifact, str]] = {}
    with replica(leaves, manifest.ledger_name, manifest.size) as made:
        for source in stored_sources(made, runs={run["id"] for run in trace(made, brought.build)["runs"]}):
            files[str(source.location)] = (str(source.location), source, str(source.location))
        for artifact in stored_artifacts(made, refs=manifest.stored):
            here = local.get((artifact.ref, artifact.media, artifact.delta))
            if here is None:
                raise NegativeVerdict(f"{brought.build} can't be exported: the bytes of {artifact.ref} are not in this workspace any more.")
            there[here.ref, here.media, here.location, here.delta] = (here, str(artifact.location))
    for name, here in names_once(store, [here for here, _ in there.values()]):
        at = f"{there[here.ref, here.media, here.location, here.delta][1]}{name.removeprefix(str(here.location))}"
        files[at] = (at, here, name)
    return _Plan(manifest, tree.read_parts(brought.facet["tree"]), leaves, [files[name] for name in sorted(files)], jcs(brought.facet["signatures"]))


def _write(plan: _Plan, writer: ContainerWriter, record: RecordWriter, store: Store, told: Told | None) -> Exported:
    total = sum(len(leaf.body) for leaf in plan.leaves) + sum({artifact.ref: artifact.size_bytes or 0 for _, artifact, _ in plan.files}.values())
    done = 0

    def count(name: str) -> Callable[[int], None]:
        def more(size: int) -> None:
            nonlocal done
            done += size
            if told is not None:
                told(done, max(done, total), name)

        return more

    entries: list[Entry] = [writer.add(TREE, (jcs(tree.written(part)) + b"\n" for part in plan.parts))]
    entries.append(writer.add(EVENTS, (leaf.body for leaf in plan.leaves), count(EVENTS)))
    for name, artifact, here in plan.files:
        try:
            with store.fetched(artifact, here).open("rb") as file:
                entries.append(writer.add(STORE + name, file, count(name)))
        except FileNotFoundError:
            raise NegativeVerdict(f"{plan.manifest.build} can't be exported: '{here}' of {artifact.ref} is missing from the store.") from None
    if plan.signatures is None:
        manifest = replace(plan.manifest, entries=tuple(replace(entry, offset=0) for entry in entries))
        signatures = sign(manifest.data, record.keys.private())
    else:
        manifest, signatures = plan.manifest, plan.signatures
        for expected, found in zip(manifest.entries, entries, strict=True):
            if expected != replace(found, offset=0):
                raise NegativeVerdict(f"{manifest.build} can't be exported: {expected.name} is not what came in its bundle. Run 'tracecore verify'.")
    writer.add(MANIFEST, [manifest.data])
    writer.add(SIGNATURES, [signatures])
    writer.close()
    return Exported(manifest.build, len(plan.leaves), len(manifest.stored), len(plan.files), 0)
