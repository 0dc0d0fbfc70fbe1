"""Taking a bundle over: verified first, then its bytes into the store, then its events and the event that gives them a voice in one transaction.

A crash before the transaction leaves files that no event names, which the next import of the bundle replaces; after it nothing is left to do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete

from tracecore.errors import NegativeVerdict, RunFailed, TracecoreError, UsageError
from tracecore.store import LocalStore, Store, open_store
from tracecore.system.locks import hold_key, hold_run, share_store
from tracecore_lineage.bundle.manifest import Manifest
from tracecore_lineage.bundle.reader import open_bundle
from tracecore_lineage.catalog import replay
from tracecore_lineage.catalog.delegation import IMPORTED, Import, delegations_of, folder_of, import_ids, known_imports, read_import, read_imports
from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.catalog.stored_artifacts import names_once
from tracecore_lineage.exchange.import_policy import ImportPlan, refuse_strangers, refuse_withdrawn, speaker
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.ledger.sql_tables import PROJECTION
from tracecore_lineage.model.findings import Findings, Verdict
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal import seal
from tracecore_lineage.verify.bundle import Checked, check_bundle
from tracecore_lineage.verify.trust import Pins, read_pins
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, RunInput
from tracecore_schemas.sql_models import FacetRow

if TYPE_CHECKING:
    from tracecore_lineage.catalog.recorder import RecordWriter

__all__ = ["ImportRefused", "ImportResult", "import_bundle"]

_ATTEMPTS = 5


class ImportRefused(NegativeVerdict):
    """A bundle that fails verification; `verdict` names what fails."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class ImportResult:
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


def import_bundle(
    record: RecordWriter,
    path: Path,
    *,
    key: Path | str | Sequence[Path | str] | None = None,
    threshold: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> ImportResult:
    """Take a bundle over into a workspace, seals intact; the same bundle again is a no-op.

    Args:
        record: the workspace's.
        path: of the file.
        key: file of the public key that the caller trusts, or several; without it those in the bundle are believed.
        threshold: how many of several such keys must have signed the build.
        progress: called with how much is done, of how much, and what was last.

    Raises:
        NotABundle: the file can't be read as one.
        ImportRefused: it fails verification, or says what only this workspace may.
        UsageError: the build's name is another build's here, or its workspace has this one's name.
    """
    pins = read_pins([Path(each) for each in ([] if key is None else [key] if isinstance(key, (str, Path)) else key)], threshold)
    store = open_store(record.workspace)
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
        if _is_here(record, manifest):
            return ImportResult(manifest.build, manifest.origin, new=False)
        run_id = record.new_run_id()
        locks = record.workspace.locks
        # One import of a build at a time; nothing is erased meanwhile; and `recover` is to know that the staging is being written.
        with hold_key(locks, f"sha256:{parse_ref(manifest.build).version}"), share_store(locks), hold_run(locks, run_id):
            if _is_here(record, manifest):
                return ImportResult(manifest.build, manifest.origin, new=False)
            staging = store.staging(run_id)
            findings = Findings()
            try:
                with check_bundle(bundle, staging, pins, findings, progress) as checked:
                    if checked is None or findings.failures:
                        raise _refused(manifest, findings, pins)
                    refuse_withdrawn(record.withdrawn(), checked)
                    return _take(record, store, checked, staging, pins)
            finally:
                store.discard(run_id)


def _is_here(record: RecordWriter, manifest: Manifest) -> bool:
    """Whether a build is here already, sealed here or imported.

    Raises:
        UsageError: another is, under its name; or it claims to come from here.
    """
    name = parse_ref(manifest.build).segments[0]
    with record.database.read() as connection:
        standing = seal.sealed_build(connection, name)
    if standing is not None and standing.ref == manifest.build:
        return True
    if standing is not None:
        raise UsageError(
            f"build/{name} is another build here ({standing.ref}) than in the bundle ({manifest.build}). A build's name is written once:"
            " import it into another workspace."
        )
    if manifest.ledger_name.ledger_id == record.ledger.ledger_id:
        raise UsageError(
            f"The bundle comes from this workspace's own ledger, {record.ledger}, but {manifest.build} was never sealed here: it comes from a copy of"
            " the workspace that was written to apart. Import it into another workspace ('tracecore init')."
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


def _take(record: RecordWriter, store: Store, checked: Checked, staging: Path, pins: Pins | None) -> ImportResult:
    """Bring the bytes, then the events; where that fails nothing is left of either."""
    brought: set[str] = set()
    try:
        return _bring(record, store, checked, staging, pins, brought)
    except Exception:
        _take_back(record, store, checked.proof.manifest, brought)
        raise


def _bring(record: RecordWriter, store: Store, checked: Checked, staging: Path, pins: Pins | None, brought: set[str]) -> ImportResult:
    """Bring the bytes, which are noted in `brought`, then the events; begin again where another import came in between."""
    manifest = checked.proof.manifest
    location = folder_of(manifest.build)
    for attempt in range(_ATTEMPTS):
        with record.database.read() as connection:
            plan = _plan(connection, record.ledger, checked)
        brings = [artifact for artifact in checked.artifacts if artifact.ref in plan.stored]
        named = names_once(checked.store, brings) if attempt == 0 else names_once(store, [_at(artifact, location) for artifact in brings])
        needed = {name for name, _ in named}
        if attempt == 0:
            # By digest, where this workspace's own lie; where the import fails they are named by no event, and `prune` removes them.
            for source in checked.sources:
                if not store.exists(source):
                    store.put_file(staging / "store" / str(source.location), run_id=staging.name)
            _leave_out(staging / "store", needed)
            brought |= {f"{location}/{name}" for name in needed}
            if needed:
                store.put_import(staging / "store", location)
        else:
            # Another import came in between and brought some of it: those bytes are kept there.
            store.erase(brought - needed)
            brought &= needed
        with record.database.write() as connection:
            if _stands(connection, record.ledger, checked, plan):
                return _record(connection, record, checked, plan, pins)
    raise RunFailed(f"{manifest.build} could not be imported: other imports came in between each time. Import it again.")


def _take_back(record: RecordWriter, store: Store, manifest: Manifest, brought: Collection[str]) -> None:
    """Remove the bytes that an import brought which failed; where it can't be known that it did they stay, and `doctor` names them."""
    if not isinstance(store, LocalStore):
        return  # the locks are this host's: another one may be bringing the same bytes to the same bucket, and count on them
    with suppress(TracecoreError, OSError):
        with record.database.read() as connection:
            recorded = next(known_imports(connection, manifest.build), None)
        if recorded is None:
            store.erase(brought)


def _at(artifact: Artifact, location: str) -> Artifact:
    """Return a version of the bundle as it lies in this workspace's store."""
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


def _plan(connection: Connection, own: LedgerName, checked: Checked) -> ImportPlan:
    """Find out what an import adds to the record as it is now, and whether it may.

    Raises:
        NegativeVerdict: it holds events in this workspace's name that this workspace never recorded, or of its runs.
    """
    manifest, leaves = checked.proof.manifest, checked.proof.leaves
    here = import_ids(connection)
    members = frozenset(leaf.event_id for leaf in leaves)
    places = ledger.places(connection, sorted(members))
    known = read_imports(connection, here) if places else []  # earlier imports matter to events that were here before
    ours = frozenset(leaf.event_id for leaf in leaves if (said := speaker(leaf)) is not None and said.ledger_id == own.ledger_id)
    nested = [found for leaf in leaves if leaf.event_id not in places and (found := read_import(leaf.body, leaf.seq)) is not None]
    this = Import("", -1, own, manifest.ledger_name, manifest.build, members, frozenset(manifest.stored), frozenset(), {})
    after = delegations_of([*known, *nested, this], own, members)
    inside = f"{folder_of(manifest.build)}/"
    brings = {
        str(row.values["subject"])
        for leaf in leaves
        for row in project(leaf.body, 0, own, after.get(leaf.event_id, ()))
        if row.table is FacetRow
        and row.values["name"] == "tracecore_artifact"
        and str(json.loads(row.values["value"]).get("location")).startswith(inside)
    }
    after = delegations_of([*known, *nested, replace(this, stored=frozenset(brings))], own, members)
    plan = ImportPlan(here, places, ours, delegations_of(known, own, members), after, frozenset(brings))
    refuse_strangers(connection, own, checked, plan)
    return plan


def _stands(connection: Connection, own: LedgerName, checked: Checked, plan: ImportPlan) -> bool:
    """Whether, under the write lock, the record is still as it was when the plan was made."""
    manifest = checked.proof.manifest
    if seal.sealed_build(connection, parse_ref(manifest.build).segments[0]) is not None:
        raise UsageError(f"A build of the name of {manifest.build} was sealed here in the same moment: import it into another workspace.")
    if import_ids(connection) != plan.imports or ledger.places(connection, [leaf.event_id for leaf in checked.proof.leaves]) != plan.places:
        return False
    refuse_strangers(connection, own, checked, plan)
    return True


def _record(connection: Connection, record: RecordWriter, checked: Checked, plan: ImportPlan, pins: Pins | None) -> ImportResult:
    """Append the events, let those that were here speak, and say what was imported: one transaction."""
    from tracecore_lineage.model.facets import TracecoreImportedDatasetFacet, TracecoreImportRunFacet

    proof, manifest = checked.proof, checked.proof.manifest
    new = [leaf.body for leaf in proof.leaves if leaf.event_id not in plan.places]
    record.append(connection, new, delegations=plan.after)
    changed = list(_heard(connection, record.ledger, proof.leaves, plan))
    pinned = [] if pins is None else [key.id for key in pins.keys]
    imported = TracecoreImportedDatasetFacet(manifest.origin, manifest.ledger_name.ledger_id, manifest.position, pinned)
    facet = TracecoreImportRunFacet(
        manifest.build,
        manifest.origin,
        manifest.written(),
        [{"keyid": name, "sig": signature} for name, signature in _signatures(checked)],
        [pruned_tree.written(part) for part in proof.parts],
        sorted(plan.stored),
        changed,
    )
    record.append_fact(
        connection, "import", datetime.now(UTC), inputs=[RunInput("build", _build(checked, imported))], facets={"tracecore_import": facet}
    )
    return ImportResult(manifest.build, manifest.origin, True, len(new), len(proof.leaves) - len(new), len(plan.stored))


def _signatures(checked: Checked) -> Iterator[tuple[str, str]]:
    import base64

    for name, signature in checked.proof.signatures.signatures:
        yield name, base64.b64encode(signature).decode()


def _heard(connection: Connection, own: LedgerName, leaves: Sequence[ledger.Leaf], plan: ImportPlan) -> Iterator[str]:
    """Project those events anew that had been here before and say more since; give their ids."""
    for leaf in leaves:
        place = plan.places.get(leaf.event_id)
        if place is None or leaf.event_id in plan.own:
            continue
        before: list[Row] = project(leaf.body, place, own, plan.before.get(leaf.event_id, ()))
        after = project(leaf.body, place, own, plan.after.get(leaf.event_id, ()))
        if before != after:
            for table in PROJECTION:
                connection.execute(delete(table).where(table.c.event_id == leaf.event_id))
            replay.write(connection, after)
            yield leaf.event_id


def _build(checked: Checked, imported: Any) -> Artifact:
    """Return the build as the import's event names it: what it is, and where it came from."""
    from tracecore_lineage.events.artifacts import bare
    from tracecore_lineage.events.build import plain

    ref = parse_ref(checked.proof.manifest.build)
    node = next(node for node in checked.shown.trace["nodes"] if node["ref"] == str(ref))
    return Artifact(
        ArtifactKind.BUILD,
        ref.segments[0],
        f"sha256:{ref.version}",
        Media.NONE,
        size_bytes=node["size_bytes"],
        facets={IMPORTED: bare(plain(imported))},
    )
