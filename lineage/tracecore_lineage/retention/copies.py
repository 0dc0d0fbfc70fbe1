"""Copies of withdrawn files that somebody laid into the workspace: as they are, under whatever name, or inside a bundle that was exported there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from tracecore.files import fsync_folder
from tracecore.system.failures import unless_missing
from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.manifest import TREE
from tracecore_lineage.bundle.reading import open_bundle
from tracecore_lineage.retention.tombstones import Erasure
from tracecore_schemas.canonical import digest_file

__all__ = ["files_below", "remove_copies"]

_OWN = frozenset({"record.db", "record.db-wal", "record.db-shm", "workspace.json"})
_UNTOUCHED = frozenset({"keys", "locks"})
_STORE = "store"
_ZIP = b"PK\x03\x04"
_NAMED_AT = 30
"""Where a zip's first entry is named: PKWARE APPNOTE.TXT 4.3.7."""


def remove_copies(root: Path, erasure: Erasure) -> None:
    """Remove every file of the workspace that has the bytes of an erased one, and every bundle that holds them.

    Inside the store only what may never come back goes by its bytes alone: whatever else lies there is some version's, and the tombstone names it.

    Args:
        root: of the workspace.
        erasure: what was withdrawn.
    """
    withdrawn = frozenset(erasure.withdrawn)
    erased = withdrawn | {gone.digest for version in erasure.versions for gone in version.files}
    for path in sorted(files_below(root)):
        inside = path.relative_to(root).parts
        if inside[0] in _OWN or inside[0] in _UNTOUCHED:
            continue
        stored = inside[0] == _STORE
        if digest_file(path) in (withdrawn if stored else erased) or (not stored and _packed(path, erased)):
            path.unlink()
            fsync_folder(path.parent)


def files_below(root: Path) -> Iterator[Path]:
    """Give every file below a folder; what links point to is not ours."""
    for folder, _, names in os.walk(root, onerror=unless_missing):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _packed(path: Path, erased: Collection[str]) -> bool:
    """Say whether a file is a bundle that holds erased bytes; of one that a kill left half written nobody can tell, so that it counts as such."""
    with path.open("rb") as file:
        begin = file.read(_NAMED_AT + len(TREE))
    if not begin.startswith(_ZIP) or begin[_NAMED_AT:] != TREE.encode():
        return False
    try:
        with open_bundle(path) as bundle:
            return any(f"sha256:{entry.sha256}" in erased for entry in bundle.manifest.entries)
    except NotABundle:
        return True
