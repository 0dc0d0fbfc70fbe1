"""Verification of a bundle file, without a workspace."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tracecore.store import Store, folder_store
from tracecore.store.place import leads_out
from tracecore_lineage.bundle.manifest import MANIFEST, STORE
from tracecore_lineage.bundle.reader import Bundle, open_bundle
from tracecore_lineage.catalog.stored_artifacts import said_places, stored_artifacts, stored_sources
from tracecore_lineage.model.findings import NONSENSE, Findings, Progress, Verdict, describe
from tracecore_lineage.retention.cleanup import named_files
from tracecore_lineage.verify.content import check_content, check_sources, erased_on_purpose, report_erased
from tracecore_lineage.verify.imported import Proof, Replayed, check_proof
from tracecore_lineage.verify.trust import Pins, read_pins
from tracecore_schemas.run import Artifact

__all__ = ["Checked", "check_bundle", "verify_bundle"]


def verify_bundle(
    path: Path | str,
    *,
    key: Path | str | Sequence[Path | str] | None = None,
    threshold: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Verify a bundle file without a workspace; unpacks it into a temporary folder.

    Args:
        key: files of trusted public keys; None trusts the bundle's own keys, and the verdict is `unpinned`.
        threshold: how many of the keys must have signed the build; None requires all.

    Raises:
        NotABundle: the file can't be read as one.
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
    """Content of a verified bundle, valid while its temporary folder exists; `sources` are source files of plugins."""

    proof: Proof
    shown: Replayed
    artifacts: Sequence[Artifact]
    sources: Sequence[Artifact]
    store: Store


@contextmanager
def check_bundle(bundle: Bundle, folder: Path, pins: Pins | None, findings: Findings, progress: Progress | None = None) -> Iterator[Checked | None]:
    """Verify an open bundle, unpacked into `folder`/store (which must not exist); yield its content, or None if its events can't be replayed.

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
    """Verify all versions and source files in the bundle, report missing and superfluous ones, and return both lists."""
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
    for subject, value in sorted(said_places(shown.connection)):
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
