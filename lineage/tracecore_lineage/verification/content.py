"""Stored bytes: each version's digest recomputed, several at once.

Nothing is opened but to be hashed: an engine is native code and is never loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tracecore.errors import TracecoreError
from tracecore.store import Store, StoreFailure
from tracecore.store.protocol import ErasedFile
from tracecore_lineage.retention.tombstones import Tombstones
from tracecore_lineage.verification.erased import tell_erased
from tracecore_lineage.verification.findings import Findings
from tracecore_schemas.run import Artifact, DeltaVersion

__all__ = ["check_content", "check_sources"]

Progress = Callable[[int, int, str], None]


def check_content(
    store: Store, artifacts: Sequence[Artifact], findings: Findings, progress: Progress | None = None, erased: Tombstones | None = None
) -> None:
    """Recompute the digest of every stored version and name each file that is not as recorded.

    Args:
        store: where the bytes lie.
        artifacts: versions whose bytes are kept; a version that lies at two places is checked at both.
        findings: failures are added to it, in the order of `artifacts`.
        progress: told how many versions are done, of how many, and which was last.
        erased: what is gone on purpose: no failure, and the rest is verified all the same.
    """
    known = Tombstones() if erased is None else erased
    failures: dict[int, list[StoreFailure]] = {}
    tables: dict[str, set[DeltaVersion]] = {}
    for artifact in artifacts:
        if artifact.delta is not None:
            tables.setdefault(str(artifact.location), set()).add(artifact.delta)
    # Hashing lets go of the interpreter's lock, so that threads do run side by side.
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as pool:
        logs = dict(zip(tables, pool.map(lambda table: _verify_log(store, table, tables[table], known.commits(table)), tables), strict=True))
        running = {
            pool.submit(
                _verify, store, artifact, known.gone(artifact), logs[str(artifact.location)][artifact.delta] if artifact.delta else None
            ): place
            for place, artifact in enumerate(artifacts)
        }
        for done, future in enumerate(as_completed(running), start=1):
            place = running[future]
            failures[place] = future.result()
            if progress is not None:
                progress(done, len(artifacts), artifacts[place].ref)
    for place, artifact in enumerate(artifacts):
        for failure in failures[place]:
            findings.fail(artifact.ref, failure.what, failure.expected, failure.found)
    findings.checked["artifacts"] += len({artifact.ref for artifact in artifacts})
    findings.checked["bytes"] += sum((artifact.size_bytes or 0) - _absent(known, artifact) for artifact in artifacts)
    tell_erased(artifacts, known, findings)


def check_sources(store: Store, sources: Sequence[Artifact], findings: Findings) -> None:
    """Recompute the digest of every kept source file of plugins; they are counted neither as versions nor in bytes."""
    for source in sources:
        for failure in _verify(store, source, (), None):
            findings.fail(source.ref, failure.what, failure.expected, failure.found)


def _absent(known: Tombstones, artifact: Artifact) -> int:
    """Count the bytes of a version that are erased, each file once."""
    return sum({gone.path: gone.size_bytes for gone in known.gone(artifact) if gone.left is None}.values())


def _verify_log(
    store: Store, table: str, versions: Collection[DeltaVersion], gone: Sequence[ErasedFile]
) -> Mapping[DeltaVersion, Sequence[StoreFailure] | None]:
    """Look at a table's log once for all its versions; None leaves it to each version to say why it can't be read."""
    try:
        return store.verify_log(table, versions, gone)
    except (TracecoreError, OSError, ValueError, KeyError):
        return dict.fromkeys(versions)


def _verify(store: Store, artifact: Artifact, gone: Sequence[ErasedFile], log: Sequence[StoreFailure] | None) -> list[StoreFailure]:
    try:
        return store.verify(artifact, gone, log=log)
    except (TracecoreError, OSError, ValueError, KeyError) as error:
        return [StoreFailure(str(artifact.location), "bytes that can be read", f"{type(error).__name__}: {error}")]
