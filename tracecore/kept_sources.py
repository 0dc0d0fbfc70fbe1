"""The text of the source files that a run loaded: kept in the store by digest, shared between runs, and never pruned."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, Dependencies
from tracecore_schemas.store_layout import blob_location

if TYPE_CHECKING:
    from tracecore.store import Store

__all__ = ["KIND", "KeptSources", "kept_text", "patch", "source_artifacts", "text_size"]

KIND = "source"
"""First segment of what a kept file is called where something is wrong with it; it is no artifact of the record."""
_LONGEST = 1 << 20


def text_size(path: str) -> int | None:
    """Return the size of a file that is kept: Python source or UTF-8 text of at most 1 MiB; None of any other, which is known by its digest alone."""
    try:
        data = Path(path).read_bytes()
        if len(data) > _LONGEST or b"\0" in data:
            return None
        if not path.endswith(".py"):
            data.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return len(data)


class KeptSources:
    """Keeps the source files of runs.

    Args:
        store: where.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, int] = {}

    def keep(self, found: Dependencies, places: Mapping[str, str], run_id: str, withdrawn: Collection[str]) -> tuple[Dependencies, list[str]]:
        """Keep the texts among the files that a run loaded.

        Args:
            found: what it depended on.
            places: where its files lie, by name.
            run_id: of the run.
            withdrawn: digests of what may not be kept.

        Returns:
            The dependencies with the size of each text that is kept, and the files that are not any more what was loaded.
        """
        sources: list[tuple[str, str, int | None]] = []
        changed: list[str] = []
        for file, digest, _ in found.sources:
            size = self._kept.get(digest)
            if size is None and f"sha256:{digest}" not in withdrawn:
                size = text_size(places[file])
                if size is not None and self._store.put_file(Path(places[file]), run_id=run_id).digest != f"sha256:{digest}":
                    changed.append(file)
            sources.append((file, digest, size))
        return replace(found, sources=tuple(sources)), changed

    def remember(self, found: Dependencies) -> None:
        """Remember what a COMPLETE names, which is never pruned; what a run kept that failed may be, so that it is put again."""
        self._kept |= {digest: size for _, digest, size in found.sources if size is not None}


def source_artifacts(dependencies: Dependencies) -> Iterator[Artifact]:
    """Return the kept files of a run, as the store wants them."""
    for file, digest, size in dependencies.sources:
        if size is not None:
            yield Artifact(KIND, file, f"sha256:{digest}", Media.FILE, location=blob_location(f"sha256:{digest}"), size_bytes=size)


def kept_text(store: Store, digest: str) -> bytes | None:
    """Return the bytes of a kept file by its SHA-256 in hex; None where they are not there, or others."""
    data = store.read(blob_location(f"sha256:{digest}"))
    return data if data is not None and digest_bytes(data) == f"sha256:{digest}" else None


def patch(file: str, then: bytes | None, now: bytes | None) -> str | None:
    """Return the lines in which a file differs, as `diff -u` writes them; None where one of the texts is not there."""
    if then is None or now is None:
        return None
    before, after = (data.decode(errors="replace").splitlines() for data in (then, now))
    return "\n".join(difflib.unified_diff(before, after, f"then/{file}", f"now/{file}", lineterm=""))
