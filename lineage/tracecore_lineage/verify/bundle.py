"""Verification of builds sealed in other workspaces: bundle files, without a workspace, and builds imported here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from tracecore.errors import TracecoreError, UsageError
from tracecore.store import Store, folder_store
from tracecore.store.place import leads_out
from tracecore.store.protocol import ErasedFile
from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.manifest import MANIFEST, STORE, Manifest, read_manifest, read_signatures
from tracecore_lineage.bundle.reader import Bundle, open_bundle
from tracecore_lineage.catalog.delegation import Import
from tracecore_lineage.catalog.replay import snapshot
from tracecore_lineage.catalog.stored_artifacts import asserted_facets, stored_artifacts, stored_sources
from tracecore_lineage.crypto.envelope import EnvelopeError, Opened, open_envelope
from tracecore_lineage.crypto.keys import PublicKey, short_id
from tracecore_lineage.crypto.notes import CheckpointError, parse
from tracecore_lineage.events.parse import BadEvent, parse_event
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.model.findings import NONSENSE, Findings, Progress, Verdict, describe
from tracecore_lineage.retention.cleanup import named_files
from tracecore_lineage.trace.lineage import trace
from tracecore_lineage.verify.content import check_content, check_sources, erased_on_purpose, report_erased
from tracecore_lineage.verify.history import History, SealEvent, collect
from tracecore_lineage.verify.seals import LedgerVerifier
from tracecore_lineage.verify.trust import Pins, Trust, check_policies, check_signatures, read_pins, trust
from tracecore_schemas.canonical import jcs
from tracecore_schemas.run import Artifact
from tracecore_schemas.trace import Trace

__all__ = ["Checked", "Proof", "Replayed", "check_bundle", "check_imports", "check_proof", "verify_bundle"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Unverified evidence of a build from another workspace: signed manifest, pruned ledger, and `leaves`, its events with ledger positions."""

    manifest: Manifest
    signatures: Opened
    parts: Sequence[pruned_tree.Part]
    leaves: Sequence[ledger.Leaf]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Replayed evidence of a build: its in-memory catalog, the build's trace, the recomputed ledger, and the trusted keys."""

    connection: Connection
    trace: Trace
    history: History
    trust: Trust


@contextmanager
def check_proof(proof: Proof, pins: Pins | None, findings: Findings) -> Iterator[Replayed | None]:
    """Verify a build's evidence from another workspace, and report failures; yield its catalog and trace, or None if it can't be replayed.

    Without pins the keys in the evidence are trusted.
    """
    history = _history(proof, findings)
    believed = _check_trust(proof, history, pins, findings)
    for nested in history.imports:
        _check_nested(nested, findings)
    replayed = None
    with ExitStack() as held:
        try:
            made = held.enter_context(snapshot(proof.leaves, proof.manifest.ledger_name, proof.manifest.size))
            replayed = _traced(made, proof, history, believed, findings)
        except BadEvent as error:
            findings.fail(proof.manifest.build, "events", "events that can be read", error)
        except NONSENSE as error:
            findings.fail(proof.manifest.build, "events", "events as tracecore records them", describe(error))
        yield replayed


def _traced(made: Connection, proof: Proof, history: History, believed: Trust, findings: Findings) -> Replayed | None:
    """Trace a build in the catalog `made` from its events; report a wrong position, and versions that its seal names but the trace lacks.

    Returns the trace with its evidence, or None if the build can't be traced.
    """
    build = proof.manifest.build
    try:
        answer = trace(made, build)
    except TracecoreError as error:
        findings.fail(build, "trace", "an answer from its events", error)
        return None
    findings.equal(build, "position of the trace", proof.manifest.position, answer["position"])
    nodes = {node["ref"] for node in answer["nodes"]}
    for seal in history.seals:
        if seal.build["ref"] == build:
            for ref in sorted(_sealed(seal) - nodes):
                findings.fail(build, "trace", f"{ref}, which the seal names", "a trace without it")
    return Replayed(made, answer, history, believed)


def _sealed(seal: SealEvent) -> set[str]:
    """Return the refs of the program and the artifacts that a seal (a build's signed statement) names; empty if it can't be read."""
    try:
        predicate = json.loads(open_envelope(json.loads(seal.build["envelope"])).payload)["predicate"]
        return {str(predicate["program"]), *(str(entry["ref"]) for entry in predicate["artifacts"])}
    except (EnvelopeError, ValueError, KeyError, TypeError):
        return set()


def _history(proof: Proof, findings: Findings) -> History:
    """Return the ledger recomputed from its pruned form (a build's events, hashes of subtrees); report events that don't match their leaves."""
    held = {leaf.seq: leaf for leaf in proof.leaves}
    history = History()
    previous = ""
    cuts = {proof.manifest.position, proof.manifest.position + 1, proof.manifest.size}
    for part in proof.parts:
        if isinstance(part, pruned_tree.Left):
            try:
                history.frontier.append(part.hash, part.level)
            except ValueError as error:
                findings.fail("tree", "pruned ledger", "subtrees that stand where they can", error)
                break
        else:
            leaf = held[history.frontier.size]
            findings.equal(f"event/{leaf.seq}", "bytes of the event", part.event_id, ledger.event_id(leaf.body))
            findings.equal(f"event/{leaf.seq}", "number of bytes", part.size, len(leaf.body))
            if part.recorded_at < previous:
                findings.fail(f"event/{leaf.seq}", "recorded time", f"{previous} or later", part.recorded_at)
            previous = part.recorded_at
            with suppress(BadEvent):  # reported when the events are replayed
                parse_event(leaf.body)
                collect(leaf, proof.manifest.ledger_name, history)
            history.frontier.append(part.hash)
        if history.frontier.size in cuts:
            history.roots[history.frontier.size] = history.frontier.root()
    history.size = history.frontier.size
    findings.checked["events"] += len(proof.leaves)
    findings.equal("tree", "number of events in the ledger", proof.manifest.size, history.size)
    return history


def _check_trust(proof: Proof, history: History, pins: Pins | None, findings: Findings) -> Trust:
    """Verify checkpoint, signatures, policies and seals in a build's evidence against the recomputed ledger; return the trusted keys."""
    manifest = proof.manifest
    keys = list(_keys(manifest.keys, findings))
    try:
        note = parse(manifest.checkpoint)
    except CheckpointError as error:
        findings.fail(manifest.build, "checkpoint of the ledger", "a canonical signed note", error)
        note = None
    believed = trust(keys, pins, history, note)
    verifier = LedgerVerifier(history, manifest.ledger_name, believed, findings)
    if note is not None:
        findings.equal(MANIFEST, "number of events in the checkpoint", manifest.size, note.size)
        verifier.check_kept_checkpoint(note)
    findings.checked["signatures"] += 1
    if proof.signatures.signed_by(believed.keys) is None:
        findings.fail(MANIFEST, "signature of the bundle", believed.expected, "none that is valid")
    policies = check_policies(history, manifest.ledger_name.origin, believed, None, findings)
    seals = [seal for seal in history.seals if seal.build["ref"] == manifest.build]
    if [seal.seq for seal in seals] != [manifest.position]:
        found = ", ".join(str(seal.seq) for seal in seals) or "none"
        findings.fail(manifest.build, "seal", f"one event that seals it, at position {manifest.position}", found)
    for seal in history.seals:
        verifier.check_seal(seal)
        check_signatures(seal, history, policies, believed, findings)
    return believed


def _keys(keys: Mapping[str, str], findings: Findings) -> Iterator[PublicKey]:
    """Yield the valid public keys among `keys` ({id: PEM}); report those with another id or not in the canonical PEM form."""
    for identity, pem in keys.items():
        try:
            key = PublicKey.from_pem(pem.encode(), f"key {short_id(identity)}")
        except UsageError as error:
            findings.fail(f"keys/{identity}", "public key", "an Ed25519 public key in PEM form", error)
            continue
        if key.id != identity or key.pem != pem:
            found = key.id if key.id != identity else "another form"
            findings.fail(f"keys/{identity}", "public key", f"the key {identity}, in its one form", found)
            continue
        yield key


def _check_nested(nested: Import, findings: Findings) -> None:
    """Report an import among a build's own events whose checkpoint has a wrong Merkle root or lacks a valid signature."""
    where, build = f"event/{nested.seq}", nested.build
    try:
        manifest = read_manifest(jcs(nested.facet["manifest"]), f"the import of {build}")
        frontier, _ = pruned_tree.fold(pruned_tree.read_parts(nested.facet["tree"]), ())
        note = parse(manifest.checkpoint)
    except (NotABundle, pruned_tree.TreeError, CheckpointError, KeyError, TypeError, ValueError) as error:
        findings.fail(where, f"import of {build}", "the pruned ledger that it came with", error)
        return
    findings.equal(where, f"root of the ledger that {build} came from", note.root.hex(), frontier.root().hex())
    findings.checked["signatures"] += 1
    if note.signed_by(_keys(manifest.keys, findings)) is None:
        findings.fail(where, f"checkpoint of the ledger that {build} came from", "a signature by a key that came along", "none that is valid")


def check_imports(connection: Connection, imports: Iterable[Import], pins: Pins | None, findings: Findings) -> tuple[ErasedFile, ...]:
    """Verify builds imported from other workspaces, and report failures; their keys (`pins`, else the bundle's) are trusted only for them.

    Returns the Delta log files that those workspaces rewrote to erase rows before the export, with their paths in this store.
    """
    commits: list[ErasedFile] = []
    for each in imports:
        inner = Findings()
        try:
            proof = _proof(connection, each)
        except (NotABundle, pruned_tree.TreeError, KeyError, TypeError) as error:
            findings.fail(f"event/{each.seq}", f"import of {each.build}", "the manifest and the pruned ledger that it came with", error)
            continue
        with check_proof(proof, pins, inner) as shown:
            if shown is not None:
                known = erased_on_purpose(shown.connection, each.origin, shown.history, shown.trust, inner)
                rewritten = (gone for erasure in known.erasures for gone in erasure.commits)
                commits.extend(replace(gone, path=f"{each.folder}{gone.path}") for gone in rewritten)
        name = each.build.partition("@")[0]
        for failure in inner.failures:
            ref = failure["ref"] if failure["ref"].startswith(name) else f"{name}: {failure['ref']}"
            findings.fail(ref, failure["what"], failure["expected"], failure["found"])
        findings.checked["signatures"] += inner.checked["signatures"]
    return tuple(commits)


def _proof(connection: Connection, each: Import) -> Proof:
    """Return an imported build's evidence (manifest, pruned ledger, signatures); raise KeyError if the manifest is of another build."""
    manifest_data = jcs(each.facet["manifest"])
    where = f"the import of {each.build}"
    manifest = read_manifest(manifest_data, where)
    parts = pruned_tree.read_parts(each.facet["tree"])
    places = ledger.places(connection, sorted(each.members))
    bodies = {leaf.seq: leaf.body for leaf in ledger.read_at(connection, sorted(places.values()))}
    leaves = [
        # A missing event gets empty bytes, reported when its leaf is compared.
        ledger.Leaf(place, part.event_id, part.recorded_at, "", bodies.get(places.get(part.event_id, -1), b""))
        for place, part in pruned_tree.kept(parts)
    ]
    if manifest.build != each.build or manifest.ledger_name != each.origin:
        raise KeyError(f"{manifest.build} of '{manifest.origin}'")
    return Proof(manifest, read_signatures(manifest_data, each.facet["signatures"], where), parts, leaves)


def verify_bundle(
    path: Path | str,
    *,
    key: Path | str | Sequence[Path | str] | None = None,
    threshold: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Verify a bundle file without a workspace, and return the verdict; `key`: files of pinned keys, `threshold`: how many must have signed.

    Raises:
        NotABundle: the file can't be read as a bundle.
        UsageError: a key can't be read, or the disk is full.
    """
    pins = read_pins(key, threshold)
    findings = Findings()
    with (
        open_bundle(Path(path)) as bundle,
        tempfile.TemporaryDirectory(prefix="tracecore-verify-") as folder,
        check_bundle(bundle, Path(folder), pins, findings, progress),
    ):
        pass  # leaving the block completes the checks and deletes the folder
    return findings.verdict(pinned=pins is not None)


@dataclass(frozen=True, slots=True)
class Checked:
    """Content of a bundle after verification, while its unpacked folder exists; `sources` are source files of plugins."""

    proof: Proof
    shown: Replayed
    artifacts: Sequence[Artifact]
    sources: Sequence[Artifact]
    store: Store


@contextmanager
def check_bundle(bundle: Bundle, folder: Path, pins: Pins | None, findings: Findings, progress: Progress | None = None) -> Iterator[Checked | None]:
    """Unpack an open bundle into `folder`/store (which must not exist) and verify it; yield its content, or None if its events can't be replayed.

    Without pins the bundle's own keys are trusted.
    """

    def differs(name: str, expected: str, found: str) -> None:
        findings.fail(name, "bytes of the entry", expected, found)

    parts = bundle.parts(differs)
    proof = Proof(bundle.manifest, bundle.signatures, parts, bundle.leaves(parts, differs))
    bundle.unpack(folder / "store", differs, progress)
    with check_proof(proof, pins, findings) as shown:
        if shown is None:
            yield None
            return
        store = folder_store(folder)
        try:
            artifacts, sources = _check_store(bundle, shown, store, findings, progress)
        except NONSENSE as error:
            findings.fail(bundle.manifest.build, "versions", "versions as tracecore records them", describe(error))
            artifacts, sources = [], []
        yield Checked(proof, shown, artifacts, sources, store)


def _check_store(
    bundle: Bundle, shown: Replayed, store: Store, findings: Findings, progress: Progress | None
) -> tuple[list[Artifact], list[Artifact]]:
    """Verify the stored versions and plugin sources of an unpacked bundle, report missing and superfluous ones, and return (versions, sources)."""
    manifest = bundle.manifest
    kept = stored_artifacts(shown.connection, refs=[node["ref"] for node in shown.trace["nodes"]])
    erased = erased_on_purpose(shown.connection, manifest.ledger_name, shown.history, shown.trust, findings)
    gone = {artifact.ref for artifact in kept if erased.of(artifact)}
    expected = {artifact.ref for artifact in kept} - gone
    for ref in sorted(expected ^ set(manifest.stored)):
        words = ("in the bundle", "left out") if ref in expected else ("a version whose bytes the build's trace stands on", "another")
        findings.fail(ref, "bytes", *words)
    if list(manifest.stored) != sorted(set(manifest.stored)):
        findings.fail(MANIFEST, "versions", "each once, sorted", "others")
    for subject, value in sorted(asserted_facets(shown.connection)):
        location = json.loads(value).get("location")
        if location is not None and _strays(location):  # an import would record the location
            findings.fail(subject, "location", "a plain path in the store", location)
    here = expected & set(manifest.stored)
    present = [artifact for artifact in kept if artifact.ref in here and not _strays(artifact.location)]  # nothing outside the store is read
    check_content(store, present, findings, progress, erased)
    report_erased([artifact for artifact in kept if artifact.ref in gone], erased, findings)
    sources = stored_sources(shown.connection, runs={run["id"] for run in shown.trace["runs"]})
    check_sources(store, sources, findings)
    named, _ = named_files(store, [*present, *sources])  # `check_content` reports unreadable versions
    for entry in manifest.entries:
        if entry.name.startswith(STORE) and entry.name.removeprefix(STORE) not in named:
            findings.fail(entry.name, "file", "one that a version in the build's trace stands on", "one of none")
    return present, sources


def _strays(location: object) -> bool:
    return not isinstance(location, str) or leads_out(location) or location.startswith(".")
