"""Taking a bundle over: verified first, then its bytes into the store, then its events and the event that gives them a voice in one transaction.

A crash before the transaction leaves files that no event names, which the next import of the bundle replaces; after it nothing is left to do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sqlalchemy import Connection, delete, select

from tracecore.errors import AnswerIsNo, RunFailed, UsageProblem
from tracecore.locks import hold_key, hold_run, share_store
from tracecore.store import Store, open_store
from tracecore_lineage import catalog, ledger
from tracecore_lineage.bundle import tree
from tracecore_lineage.bundle.manifest import Manifest
from tracecore_lineage.bundle.reading import open_bundle
from tracecore_lineage.projection import Row, project
from tracecore_lineage.reading import parse_event
from tracecore_lineage.sealing import seal
from tracecore_lineage.tables import PROJECTION, RUN_EVENTS
from tracecore_lineage.verification.bundle import Checked, check_bundle
from tracecore_lineage.verification.findings import Findings, Verdict
from tracecore_lineage.verification.trust import Pins, read_pins
from tracecore_lineage.voices import IMPORTED, Import, Voices, folder_of, imports_among, read_import, voices_of
from tracecore_schemas.catalog import FacetRow
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, RunInput

if TYPE_CHECKING:
    from tracecore_lineage.record import Record

__all__ = ["ImportRefused", "Taken", "import_bundle"]

_ATTEMPTS = 5
_CHUNK = 500


class ImportRefused(AnswerIsNo):
    """A bundle that fails verification; `verdict` names what fails."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Taken:
    """What an import did.

    Attributes:
        build: whole ref of the build.
        origin: the workspace it came from.
        new: False where it was here before.
        events: how many events were new to the ledger.
        known: how many had been in it before.
        artifacts: versions whose bytes it brought.
    """

    build: str
    origin: str
    new: bool
    events: int = 0
    known: int = 0
    artifacts: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an import will do to the record as it stands.

    Attributes:
        imports: ids of the imports that are here already.
        places: where those of its events stand that are here already.
        own: ids of its events that are this workspace's own.
        before: voices without this import.
        after: voices with it.
        stored: refs of the versions whose bytes it must bring.
    """

    imports: tuple[str, ...]
    places: Mapping[str, int]
    own: frozenset[str]
    before: Voices
    after: Voices
    stored: frozenset[str]


def import_bundle(
    record: Record,
    path: Path,
    *,
    key: Path | str | Sequence[Path | str] | None = None,
    threshold: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Taken:
    """Take a bundle over into a workspace, seals intact; the same bundle again is a no-op.

    Args:
        record: the workspace's.
        path: of the file.
        key: file of the public key that the caller trusts, or several; without it those in the bundle are believed.
        threshold: how many of several such keys must have signed the build.
        progress: told how much is done, of how much, and what was last.

    Raises:
        NotABundle: the file can't be read as one.
        ImportRefused: it fails verification, or says what only this workspace may.
        UsageProblem: the build's name stands for another build, or its workspace has this one's name.
    """
    pins = read_pins([Path(each) for each in ([] if key is None else [key] if isinstance(key, (str, Path)) else key)], threshold)
    store = open_store(record.workspace)
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
        if _is_here(record, manifest):
            return Taken(manifest.build, manifest.origin, new=False)
        run_id = record.new_run_id()
        locks = record.workspace.locks
        # One import of a build at a time; nothing is erased meanwhile; and `recover` is to know that the staging is being written.
        with hold_key(locks, f"sha256:{parse_ref(manifest.build).version}"), share_store(locks), hold_run(locks, run_id):
            if _is_here(record, manifest):
                return Taken(manifest.build, manifest.origin, new=False)
            staging = store.staging(run_id)
            findings = Findings()
            try:
                with check_bundle(bundle, staging, pins, findings, progress) as checked:
                    if checked is None or findings.failures:
                        raise _refused(manifest, findings, pins)
                    _refuse_withdrawn(record, checked)
                    return _take(record, store, checked, staging, pins)
            finally:
                store.discard(run_id)


def _is_here(record: Record, manifest: Manifest) -> bool:
    """Say whether a build is here already, sealed here or imported.

    Raises:
        UsageProblem: another is, under its name; or it claims to come from here.
    """
    name = unquote(parse_ref(manifest.build).segments[0])
    with record.database.read() as connection:
        standing = seal.find(connection, name)
    if standing is not None and standing.ref == manifest.build:
        return True
    if standing is not None:
        raise UsageProblem(
            f"build/{name} stands for another build here ({standing.ref}) than in the bundle ({manifest.build}). A build's name is written once:"
            " import it into another workspace."
        )
    if manifest.origin == record.namespace:
        raise UsageProblem(
            f"The bundle comes from a workspace called '{manifest.origin}', as this one is, but {manifest.build} was never sealed here: import it"
            " into a workspace of another name ('tracecore init')."
        )
    return False


def _refused(manifest: Manifest, findings: Findings, pins: Pins | None) -> ImportRefused:
    first = findings.failures[0]
    more = f" ({len(findings.failures) - 1} more)" if len(findings.failures) > 1 else ""
    return ImportRefused(
        f"{manifest.build} is not imported, because its bundle fails verification: {first['ref']}: {first['what']}: expected {first['expected']},"
        f" found {first['found']}{more}. Nothing was recorded.",
        findings.verdict(pinned=pins is not None),
    )


def _refuse_withdrawn(record: Record, checked: Checked) -> None:
    """Let nothing back in that was withdrawn from this workspace."""
    withdrawn = record.withdrawn()
    if not withdrawn:
        return
    for artifact in checked.artifacts:
        parts = checked.store.parts(artifact)
        drives = [value for part in parts for name, value in part.partition if name == "drive"]
        drives += [artifact.name] if artifact.kind == ArtifactKind.DRIVE_LOG.value else []
        why = next((withdrawn.drives[drive] for drive in drives if drive is not None and drive in withdrawn.drives), None)
        why = why or next((withdrawn.files[part.digest] for part in parts if part.digest in withdrawn.files), None)
        if why is not None:
            raise AnswerIsNo(f"{checked.proof.manifest.build} is not imported: {artifact.ref} holds what was withdrawn from this workspace ({why}).")


def _take(record: Record, store: Store, checked: Checked, staging: Path, pins: Pins | None) -> Taken:
    """Bring the bytes, then the events; begin again where another import came in between."""
    manifest = checked.proof.manifest
    location = folder_of(manifest.build)
    brought: set[str] | None = None
    for _ in range(_ATTEMPTS):
        with record.database.read() as connection:
            plan = _plan(connection, record.namespace, checked)
        needed = {
            name
            for artifact in checked.artifacts
            if artifact.ref in plan.stored
            for name in (checked.store.names(artifact) if brought is None else store.names(_at(artifact, location)))
        }
        if brought is None:
            _leave_out(staging / "store", needed)
            if needed:
                store.put_import(staging / "store", location)
            brought = {f"{location}/{name}" for name in needed}
        else:
            # Another import came in between and brought some of it: those bytes are kept there.
            store.erase(brought - needed)
            brought &= needed
        with record.database.write() as connection:
            if _stands(connection, record.namespace, checked, plan):
                return _record(connection, record, checked, plan, pins)
    raise RunFailed(f"{manifest.build} could not be imported: other imports came in between each time. Import it again.")


def _at(artifact: Artifact, location: str) -> Artifact:
    """Give a version of the bundle as it lies in this workspace's store."""
    return replace(artifact, location=f"{location}/{artifact.location}")


def _leave_out(folder: Path, needed: Collection[str]) -> None:
    """Remove the unpacked files that the workspace has already."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place) / name
            if path.relative_to(folder).as_posix() not in needed:
                path.unlink()
        if Path(place) != folder and not any(Path(place).iterdir()):
            Path(place).rmdir()


def _plan(connection: Connection, namespace: str, checked: Checked) -> _Plan:
    """Find out what an import adds to the record as it stands, and whether it may.

    Raises:
        AnswerIsNo: it holds events in this workspace's name that this workspace never recorded, or of its runs.
    """
    manifest, leaves = checked.proof.manifest, checked.proof.leaves
    known = imports_among(connection)
    here = {each.event_id for each in known}
    places = ledger.places(connection, [leaf.event_id for leaf in leaves])
    own = frozenset(leaf.event_id for leaf in leaves if _job_namespace(leaf) == namespace)
    _refuse_strangers(connection, namespace, manifest, leaves, places, own, voices_of(known, namespace))
    nested = [found for leaf in leaves if leaf.event_id not in here and (found := read_import(leaf.body, leaf.seq)) is not None]
    members, stored = frozenset(leaf.event_id for leaf in leaves), frozenset(manifest.stored)
    this = Import("", -1, namespace, manifest.origin, manifest.build, members, stored, frozenset(), {})
    after = voices_of([*known, *nested, this], namespace)
    inside = f"{folder_of(manifest.build)}/"
    brings = {
        str(row.values["subject"])
        for leaf in leaves
        for row in project(leaf.body, 0, namespace, after.get(leaf.event_id, ()))
        if row.table is FacetRow
        and row.values["name"] == "tracecore_artifact"
        and str(json.loads(row.values["value"]).get("location")).startswith(inside)
    }
    after = voices_of([*known, *nested, replace(this, stored=frozenset(brings))], namespace)
    return _Plan(tuple(each.event_id for each in known), places, own, voices_of(known, namespace), after, frozenset(brings))


def _job_namespace(leaf: ledger.Leaf) -> str | None:
    event = parse_event(leaf.body)
    return None if event.kind == "dataset" else str(event.members["job"]["namespace"])


def _refuse_strangers(
    connection: Connection,
    namespace: str,
    manifest: Manifest,
    leaves: Sequence[ledger.Leaf],
    places: Mapping[str, int],
    own: frozenset[str],
    voices: Voices,
) -> None:
    """Refuse what speaks for this workspace's own jobs or runs, or for the runs of others that were imported before."""
    strange = sorted(identity for identity in own if identity not in places)
    if strange:
        raise AnswerIsNo(
            f"{manifest.build} is not imported: its bundle holds the event {strange[0][:12]} of a job of this workspace ('{namespace}'), which this"
            " workspace never recorded."
        )
    runs = {event.run_id: str(event.members["job"]["namespace"]) for leaf in leaves if (event := parse_event(leaf.body)).run_id is not None}
    for start in range(0, len(runs), _CHUNK):
        chunk = sorted(str(run) for run in runs)[start : start + _CHUNK]
        query = select(RUN_EVENTS.c.run_id, RUN_EVENTS.c.job_namespace, RUN_EVENTS.c.event_id).where(RUN_EVENTS.c.run_id.in_(chunk))
        for row in connection.execute(query):
            if row.job_namespace != runs[row.run_id] and (row.job_namespace == namespace or row.event_id in voices):
                raise AnswerIsNo(
                    f"{manifest.build} is not imported: its bundle says of run/{row.run_id} that it ran in '{runs[row.run_id]}', but here it is known"
                    f" as one of '{row.job_namespace}'."
                )


def _stands(connection: Connection, namespace: str, checked: Checked, plan: _Plan) -> bool:
    """Say, under the write lock, whether the record still stands as it did when the plan was made."""
    manifest = checked.proof.manifest
    if seal.find(connection, unquote(parse_ref(manifest.build).segments[0])) is not None:
        raise UsageProblem(f"A build of the name of {manifest.build} was sealed here in the same moment: import it into another workspace.")
    same = tuple(each.event_id for each in imports_among(connection)) == plan.imports
    if not same or ledger.places(connection, [leaf.event_id for leaf in checked.proof.leaves]) != plan.places:
        return False
    _refuse_strangers(connection, namespace, manifest, checked.proof.leaves, plan.places, plan.own, plan.before)
    return True


def _record(connection: Connection, record: Record, checked: Checked, plan: _Plan, pins: Pins | None) -> Taken:
    """Append the events, let those that were here speak, and say what was imported: one transaction."""
    from tracecore_lineage.facets import TracecoreImportedDatasetFacet, TracecoreImportRunFacet

    proof, manifest = checked.proof, checked.proof.manifest
    new = [leaf.body for leaf in proof.leaves if leaf.event_id not in plan.places]
    record.append_foreign(connection, new, plan.after)
    changed = list(_heard(connection, record.namespace, proof.leaves, plan))
    pinned = [] if pins is None else [key.id for key in pins.keys]
    imported = TracecoreImportedDatasetFacet(manifest.origin, manifest.position, pinned)
    facet = TracecoreImportRunFacet(
        manifest.build,
        manifest.origin,
        manifest.written(),
        [{"keyid": name, "sig": signature} for name, signature in _signatures(checked)],
        [tree.written(part) for part in proof.parts],
        sorted(plan.stored),
        changed,
    )
    record.append_fact(
        connection, "import", datetime.now(UTC), inputs=[RunInput("build", _build(checked, imported))], facets={"tracecore_import": facet}
    )
    return Taken(manifest.build, manifest.origin, True, len(new), len(proof.leaves) - len(new), len(plan.stored))


def _signatures(checked: Checked) -> Iterator[tuple[str, str]]:
    import base64

    for name, signature in checked.proof.signatures.signatures:
        yield name, base64.b64encode(signature).decode()


def _heard(connection: Connection, namespace: str, leaves: Sequence[ledger.Leaf], plan: _Plan) -> Iterator[str]:
    """Project those events anew that had been here before and say more since; give their ids."""
    for leaf in leaves:
        place = plan.places.get(leaf.event_id)
        if place is None or leaf.event_id in plan.own:
            continue
        before: list[Row] = project(leaf.body, place, namespace, plan.before.get(leaf.event_id, ()))
        after = project(leaf.body, place, namespace, plan.after.get(leaf.event_id, ()))
        if before != after:
            for table in PROJECTION:
                connection.execute(delete(table).where(table.c.event_id == leaf.event_id))
            catalog.write(connection, after)
            yield leaf.event_id


def _build(checked: Checked, imported: Any) -> Artifact:
    """Give the build as the import's event names it: what it is, and where it came from."""
    from tracecore_lineage.datasets import bare
    from tracecore_lineage.events import plain

    ref = parse_ref(checked.proof.manifest.build)
    node = next(node for node in checked.shown.trace["nodes"] if node["ref"] == str(ref))
    return Artifact(
        ArtifactKind.BUILD.value,
        unquote(ref.segments[0]),
        f"sha256:{ref.version}",
        Media.NONE,
        size_bytes=node["size_bytes"],
        facets={IMPORTED: bare(plain(imported))},
    )
