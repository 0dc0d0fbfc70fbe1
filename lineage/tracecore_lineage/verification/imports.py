"""Imported builds: what their bundles proved is proven again, from the events and the pruned ledger that the import kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from tracecore.store.protocol import ErasedFile
from tracecore_lineage import ledger
from tracecore_lineage.bundle import tree
from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.manifest import read_manifest, read_signatures
from tracecore_lineage.verification.erased import erased_on_purpose
from tracecore_lineage.verification.findings import Findings
from tracecore_lineage.verification.proof import Proof, check_proof
from tracecore_lineage.verification.trust import Pins
from tracecore_lineage.voices import Import, folder_of
from tracecore_schemas.canonical import jcs

__all__ = ["check_imports"]


def check_imports(connection: Connection, imports: Iterable[Import], pins: Pins | None, findings: Findings) -> tuple[ErasedFile, ...]:
    """Verify builds that were sealed in other workspaces; their keys are believed for them alone.

    Args:
        connection: to the record's database.
        imports: of this workspace, as its ledger holds them.
        pins: the keys that the caller trusts to have sealed them; None takes those that came along, which the ledger names.
        findings: failures are added to it, those of an imported ledger under the build that they came with.

    Returns:
        Commits of Delta logs that their workspaces had rewritten before the bundles were made, by their places here.
    """
    commits: list[ErasedFile] = []
    for each in imports:
        inner = Findings()
        try:
            proof = _proof(connection, each)
        except (NotABundle, tree.TreeError, KeyError, TypeError) as error:
            findings.fail(f"event/{each.seq}", f"import of {each.build}", "the manifest and the pruned ledger that it came with", error)
            continue
        with check_proof(proof, pins, inner) as shown:
            if shown is not None:
                told = erased_on_purpose(shown.connection, each.origin, shown.history, shown.trust, inner)
                rewritten = (gone for erasure in told.erasures for gone in erasure.commits)
                commits.extend(replace(gone, path=f"{folder_of(each.build)}/{gone.path}") for gone in rewritten)
        name = each.build.partition("@")[0]
        for failure in inner.failures:
            ref = failure["ref"] if failure["ref"].startswith(name) else f"{name}: {failure['ref']}"
            findings.fail(ref, failure["what"], failure["expected"], failure["found"])
        findings.checked["signatures"] += inner.checked["signatures"]
    return tuple(commits)


def _proof(connection: Connection, each: Import) -> Proof:
    manifest_data = jcs(each.facet["manifest"])
    where = f"the import of {each.build}"
    manifest = read_manifest(manifest_data, where)
    parts = tree.read_parts(each.facet["tree"])
    places = ledger.places(connection, sorted(each.members))
    bodies = {leaf.seq: leaf.body for leaf in ledger.read_at(connection, sorted(places.values()))}
    leaves = [
        # An event that is gone has no bytes, which is named where its leaf is compared.
        ledger.Leaf(place, part.event_id, part.recorded_at, "", bodies.get(places.get(part.event_id, -1), b""))
        for place, part in tree.kept(parts)
    ]
    if manifest.build != each.build or manifest.ledger_name != each.origin:
        raise KeyError(f"{manifest.build} of '{manifest.origin}'")
    return Proof(manifest, read_signatures(manifest_data, each.facet["signatures"], where), parts, leaves)
