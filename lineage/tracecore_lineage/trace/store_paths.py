"""Mapping between artifacts and paths in the workspace's store, by which other producers may name them as datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracecore.workspace import Workspace
from tracecore_lineage.events.parse import ref_or_none
from tracecore_schemas.canonical import blob_location, table_folder, table_name, tree_location
from tracecore_schemas.refs import Ref, external_ref, parse_ref

__all__ = ["STORE", "StorePlace", "digest_at", "name_at", "paths_of", "store_places"]

STORE = "urn:tracecore:store"
"""Dataset namespace that the record's own events use for paths relative to the store's root."""
StorePlace = tuple[str, str]
"""Dataset namespace, and the prefix of those of its names that are in the store."""


def store_places(workspace: Workspace) -> tuple[StorePlace, ...]:
    """Return (dataset namespace, name prefix) pairs for paths in a workspace's store: OpenLineage's convention, and that of tracecore's events."""
    if workspace.store_url is None:
        return (("file", f"{workspace.store}/"), (STORE, ""))
    scheme, _, rest = workspace.store_url.partition("://")
    bucket, _, prefix = rest.partition("/")
    return ((f"{scheme}://{bucket}", f"{prefix.strip('/')}/" if prefix.strip("/") else ""), (STORE, ""))


def paths_of(ref: str, places: Sequence[StorePlace]) -> Iterator[str]:
    """Yield the external refs, without version, that name the store path of an artifact version, or of a table if `ref` has no version."""
    parsed = parse_ref(ref)
    digest = f"sha256:{parsed.version}"
    whole = parsed.is_artifact and parsed.version is not None
    kept = [blob_location(digest), tree_location(digest)] if whole else [table_folder(parsed.kind, parsed.segments[0])]
    for space, start in places:
        named = (f"{start}{location}{end}" for location in kept for end in ("", "/"))
        yield from (parse_ref(external_ref(space, name, "v")).unversioned for name in named)


def digest_at(dataset: str, places: Sequence[StorePlace]) -> str | None:
    """Return the hex digest of the stored file or directory at the path that an external dataset's name denotes; None for any other name."""
    match _location(dataset, places):
        case ["blobs" | "trees", _, digits]:
            return digits
    return None


def name_at(dataset: str, places: Sequence[StorePlace]) -> str | None:
    """Return the `kind/name` of the stored table at the path that an external dataset's name denotes; None for any other name."""
    match _location(dataset, places):
        case ["tables", kind, name]:
            ref = ref_or_none(str(Ref(kind, (table_name(name),))))
            return None if ref is None else str(ref)
    return None


def _location(dataset: str, places: Sequence[StorePlace]) -> list[str]:
    """Return the parts of the store-relative path that an external dataset's name denotes; empty for a name outside the store."""
    namespace, name = parse_ref(dataset).segments
    for space, start in places:
        if namespace == space and name.startswith(start):
            return name.removeprefix(start).removesuffix("/").split("/")
    return []
