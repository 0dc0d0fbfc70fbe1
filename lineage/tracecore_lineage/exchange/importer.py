"""Import of bundles: verify, store the bytes, then append the events and the import event in one transaction.

A crash before the transaction leaves files that no event names, which the next import of the bundle replaces.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete

from tracecore.errors import NegativeVerdict, RunFailed, TracecoreError, UsageError
from tracecore.store import Store, open_store
from tracecore.store.local import LocalStore
from tracecore.system.locks import hold_key, hold_run, share_store
from tracecore_lineage.bundle.manifest import Manifest
from tracecore_lineage.bundle.reader import open_bundle
from tracecore_lineage.catalog import replay
from tracecore_lineage.catalog.delegation import IMPORTED, Import, delegations_of, folder_of, import_ids, known_imports, read_import, read_imports
from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.catalog.stored_artifacts import names_once
from tracecore_lineage.exchange.import_policy import ImportPlan, claimed_ledger, refuse_strangers, refuse_withdrawn
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.ledger.sql_tables import PROJECTION
from tracecore_lineage.model.findings import Findings, Progress, Verdict
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
    """A bundle that fails verification; `verdict` lists the failures."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of an import: numbers of new events, known events and artifacts stored; `new` is False if the build was here already."""

    build: str
    origin: str
    new: bool
    events: int = 0
    known: int = 0
    artifacts: int = 0


def import_bundle(
    recorder: RecordWriter,
    path: Path,
    *,
    key: Path | str | Sequence[Path | str] | None = None,
    threshold: int | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """Import the build in a bundle file into a workspace, with its seal; a no-op if repeated.

    Args:
        key: file of a public key that the caller trusts, or several; if None, the keys in the bundle are trusted.
        threshold: number of these keys that must have signed the build; all if None.

    Raises:
        NotABundle: the file is not a readable bundle.
        ImportRefused: the bundle fails verification.
        NegativeVerdict: the bundle contains data withdrawn here, or events that it may not bring in (`refuse_strangers`).
        UsageError: another build has the name, or the bundle claims to be from this workspace's own ledger.
    """
    pins = read_pins(key, threshold)
    store = open_store(recorder.workspace)
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
        if _is_here(recorder, manifest):
            return ImportResult(manifest.build, manifest.origin, new=False)
        run_id = recorder.new_run_id()
        locks = recorder.workspace.locks
        # Lock out concurrent imports of the build and erasures, and show `recover` that the staging folder is in use.
        with hold_key(locks, f"sha256:{parse_ref(manifest.build).version}"), share_store(locks), hold_run(locks, run_id):
            if _is_here(recorder, manifest):
                return ImportResult(manifest.build, manifest.origin, new=False)
            staging = store.staging(run_id)
            findings = Findings()
            brought: set[str] = set()
            try:
                with check_bundle(bundle, staging, pins, findings, progress) as checked:
                    if checked is None or findings.failures:
                        raise _refused(manifest, findings, pins)  # noqa: TRY301  # the handler below removes what was stored by then
                    refuse_withdrawn(recorder.withdrawn(), checked)
                    return _store_and_append(recorder, store, checked, staging, pins, brought)
            except Exception:
                _remove_stored(recorder, store, manifest, brought)
                raise
            finally:
                store.discard(run_id)


def _is_here(recorder: RecordWriter, manifest: Manifest) -> bool:
    """Whether the record has the manifest's build. Raises UsageError if another build has its name or the bundle claims to be from this ledger."""
    name = parse_ref(manifest.build).segments[0]
    with recorder.database.read() as connection:
        sealed_here = seal.sealed_build(connection, name)
    if sealed_here is not None and sealed_here.ref == manifest.build:
        return True
    if sealed_here is not None:
        raise UsageError(
            f"build/{name} is another build here ({sealed_here.ref}) than in the bundle ({manifest.build}). A build's name is written once:"
            " import it into another workspace."
        )
    if manifest.ledger_name.ledger_id == recorder.ledger.ledger_id:
        raise UsageError(
            f"The bundle comes from this workspace's own ledger, {recorder.ledger}, but {manifest.build} was never sealed here: it comes from a copy"
            " of the workspace that was written to apart. Import it into another workspace ('tracecore init')."
        )
    return False


def _refused(manifest: Manifest, findings: Findings, pins: Pins | None) -> ImportRefused:
    """Return the error for a bundle that fails verification; its text has the first of `findings`, its verdict all of them."""
    first = findings.failures[0]
    more = f" ({len(findings.failures) - 1} more)" if len(findings.failures) > 1 else ""
    return ImportRefused(
        f"{manifest.build} is not imported, because its bundle fails verification: {first['ref']}: {first['what']}: expected {first['expected']},"
        f" found {first['found']}{more}. Nothing was recorded.",
        findings.verdict(pinned=pins is not None),
    )


def _store_and_append(recorder: RecordWriter, store: Store, checked: Checked, staging: Path, pins: Pins | None, brought: set[str]) -> ImportResult:
    """Move the bundle's files from `staging` to the store, adding their paths to `brought`, then append its events; return the result.

    Plans again if another import was recorded meanwhile; raises RunFailed if this happens five times.
    """
    manifest = checked.proof.manifest
    location = folder_of(manifest.build)
    for attempt in range(_ATTEMPTS):
        with recorder.database.read() as connection:
            plan = _plan(connection, recorder.ledger, checked)
        brings = [artifact for artifact in checked.artifacts if artifact.ref in plan.stored]
        here = [replace(artifact, location=f"{location}/{artifact.location}") for artifact in brings]
        named = names_once(checked.store, brings) if attempt == 0 else names_once(store, here)
        needed = {name for name, _ in named}
        if attempt == 0:
            # Stored by digest like the workspace's own; if the import fails, no event names them and `prune` removes them.
            for source in checked.sources:
                if not store.exists(source):
                    store.put_file(staging / "store" / str(source.location), run_id=staging.name)
            _delete_unneeded(staging / "store", needed)
            brought |= {f"{location}/{name}" for name in needed}
            if needed:
                store.put_import(staging / "store", location)
        else:
            # Another import has stored some of these bytes meanwhile.
            store.erase(brought - needed)
            brought &= needed
        with recorder.database.write() as connection:
            if _still_valid(connection, recorder.ledger, checked, plan):
                return _record(connection, recorder, checked, plan, pins)
    raise RunFailed(f"{manifest.build} could not be imported: other imports came in between each time. Import it again.")


def _remove_stored(recorder: RecordWriter, store: Store, manifest: Manifest, brought: Collection[str]) -> None:
    """Erase the files `brought` by a failed import. Does nothing if the store is a bucket, or if the import may have been recorded after all."""
    if not brought or not isinstance(store, LocalStore):
        return  # locks are local to this host: another one may be importing the same bytes into the bucket
    with suppress(TracecoreError, OSError):
        with recorder.database.read() as connection:
            recorded = next(known_imports(connection, manifest.build), None)
        if recorded is None:
            store.erase(brought)


def _delete_unneeded(folder: Path, needed: Collection[str]) -> None:
    """Delete the files below a folder whose paths relative to it are not in `needed`, and then folders without files."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place) / name
            if path.relative_to(folder).as_posix() not in needed:
                path.unlink()
        if Path(place) != folder and not any(Path(place).iterdir()):
            Path(place).rmdir()


def _plan(connection: Connection, own: LedgerName, checked: Checked) -> ImportPlan:
    """Return the changes that importing a bundle would make to the record. Raises NegativeVerdict for events that the bundle may not bring in."""
    manifest, leaves = checked.proof.manifest, checked.proof.leaves
    here = import_ids(connection)
    members = frozenset(leaf.event_id for leaf in leaves)
    places = ledger.places(connection, sorted(members))
    known = read_imports(connection, here) if places else []  # earlier imports matter only to events already here
    ours = frozenset(leaf.event_id for leaf in leaves if (claimed := claimed_ledger(leaf)) is not None and claimed.ledger_id == own.ledger_id)
    nested = [found for leaf in leaves if leaf.event_id not in places and (found := read_import(leaf.body, leaf.seq)) is not None]
    this = Import("", -1, own, manifest.ledger_name, manifest.build, members, frozenset(manifest.stored), frozenset(), {})
    after = delegations_of([*known, *nested, this], own, members)
    brings = {
        str(row.values["subject"])
        for leaf in leaves
        for row in project(leaf.body, 0, own, after.get(leaf.event_id, ()))
        if row.table is FacetRow
        and row.values["name"] == "tracecore_artifact"
        and str(json.loads(row.values["value"]).get("location")).startswith(this.folder)
    }
    after = delegations_of([*known, *nested, replace(this, stored=frozenset(brings))], own, members)
    plan = ImportPlan(here, places, ours, delegations_of(known, own, members), after, frozenset(brings))
    refuse_strangers(connection, own, checked, plan)
    return plan


def _still_valid(connection: Connection, own: LedgerName, checked: Checked, plan: ImportPlan) -> bool:
    """Whether imports and bundled events are as in `plan`; call it under the write lock. Raises UsageError if the build's name is taken."""
    manifest = checked.proof.manifest
    if seal.sealed_build(connection, parse_ref(manifest.build).segments[0]) is not None:
        raise UsageError(f"A build of the name of {manifest.build} was sealed here in the same moment: import it into another workspace.")
    if import_ids(connection) != plan.imports or ledger.places(connection, [leaf.event_id for leaf in checked.proof.leaves]) != plan.places:
        return False
    refuse_strangers(connection, own, checked, plan)
    return True


def _record(connection: Connection, recorder: RecordWriter, checked: Checked, plan: ImportPlan, pins: Pins | None) -> ImportResult:
    """Append a bundle's new events and the import event, and update catalog rows of events already in the ledger; return a summary."""
    from tracecore_lineage.model.facets import TracecoreImportedDatasetFacet, TracecoreImportRunFacet

    proof, manifest = checked.proof, checked.proof.manifest
    new = [leaf.body for leaf in proof.leaves if leaf.event_id not in plan.places]
    recorder.append(connection, new, delegations=plan.after)
    changed = list(_reproject(connection, recorder.ledger, proof.leaves, plan))
    pinned = [] if pins is None else [key.id for key in pins.keys]
    imported = TracecoreImportedDatasetFacet(manifest.origin, manifest.ledger_name.ledger_id, manifest.position, pinned)
    facet = TracecoreImportRunFacet(
        manifest.build,
        manifest.origin,
        manifest.document(),
        [{"keyid": name, "sig": base64.b64encode(signature).decode()} for name, signature in proof.signatures.signatures],
        [pruned_tree.written(part) for part in proof.parts],
        sorted(plan.stored),
        changed,
    )
    recorder.append_fact(
        connection, "import", datetime.now(UTC), inputs=[RunInput("build", _build(checked, imported))], facets={"tracecore_import": facet}
    )
    return ImportResult(manifest.build, manifest.origin, True, len(new), len(proof.leaves) - len(new), len(plan.stored))


def _reproject(connection: Connection, own: LedgerName, leaves: Sequence[ledger.Leaf], plan: ImportPlan) -> Iterator[str]:
    """Rebuild the catalog rows of events that were already in the ledger and to which the import gives more rights; yield their ids."""
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
    """Return the imported build as an artifact, the input of the import event, with `imported` as its facet `tracecore_imported`."""
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
