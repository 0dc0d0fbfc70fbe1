"""What every store answers alike, wherever its bytes lie: is it there, what is it made of, is it what was recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from tracecore.errors import UsageProblem
from tracecore.gone import Gone
from tracecore.store import tables
from tracecore.store.base import Part, StoreFailure
from tracecore.store.directories import directory_members, manifest_beside, verify_directory
from tracecore.store.erasing import gone_by_path
from tracecore.store.place import Place, leads_out
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["KeptStore"]


class KeptStore:
    """The reading half of a `Store`.

    Args:
        place: where its bytes lie.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def _location(self, artifact: Artifact) -> str:
        if artifact.location is None or artifact.media is Media.NONE:
            raise UsageProblem(f"The bytes of {artifact.ref} are not kept in this store: only its digest is recorded.")
        # The location comes from the record, which may come from elsewhere: it must not lead out of the store.
        if leads_out(artifact.location) or not self.place.contains("", artifact.location):
            raise UsageProblem(f"The location '{artifact.location}' of {artifact.ref} leads out of the store.")
        return artifact.location

    def exists(self, artifact: Artifact) -> bool:
        """Say whether all files of an artifact are there with their recorded sizes."""
        try:
            location = self._location(artifact)
        except UsageProblem:
            return False
        if artifact.media is Media.DELTA:
            return tables.table_exists(artifact, self.place)
        if artifact.media is Media.DIRECTORY:
            size = sum(size for _, size in self.place.listed(location)) if self.place.is_folder(location) else None
        else:
            size = self.place.size(location)
        return size is not None and artifact.size_bytes in {None, size}

    def log(self, artifact: Artifact) -> Sequence[str]:
        """Name the commits of a table up to a version."""
        self._location(artifact)
        return tables.log_names(artifact, self.place)

    def names(self, artifact: Artifact, *, log: bool = True) -> Sequence[str]:
        """Name every file that an artifact stands on, the manifest of a directory too."""
        location = self._location(artifact)
        if artifact.media is Media.DELTA:
            return [*(tables.log_names(artifact, self.place) if log else ()), *tables.data_names(artifact, self.place)]
        if artifact.media is Media.DIRECTORY:
            return [*(path for path, _ in self.place.listed(location)), manifest_beside(location)]
        return [location]

    def parts(self, artifact: Artifact) -> list[Part]:
        """Give the files that hold a version's content."""
        location = self._location(artifact)
        if artifact.media is Media.DELTA:
            return tables.table_parts(artifact, self.place)
        if artifact.media is Media.DIRECTORY:
            return [Part(f"{location}/{path}", f"sha256:{digits}", size) for path, size, digits in directory_members(artifact, self.place)]
        return [Part(location, artifact.digest, artifact.size_bytes or 0)]

    def _dataset(self, artifact: Artifact) -> ds.Dataset:
        return tables.open_table(artifact, self.place)

    def _missing(self, artifact: Artifact) -> UsageProblem:
        return UsageProblem(f"{artifact.ref} can't be read: '{artifact.location}' is missing from the store.")

    def verify_log(self, location: str, versions: Collection[DeltaVersion], gone: Sequence[Gone] = ()) -> Mapping[DeltaVersion, list[StoreFailure]]:
        """Recompute a table's log once and compare it with every recorded version."""
        return tables.verify_log(self.place, location, versions, gone_by_path(gone))

    def verify(self, artifact: Artifact, gone: Sequence[Gone] = (), *, log: Sequence[StoreFailure] | None = None) -> list[StoreFailure]:
        """Recompute an artifact's digest from its bytes and what is recorded of those erased; every file that differs is named."""
        where = self._location(artifact)
        known = gone_by_path(gone)
        if artifact.media is Media.DELTA:
            return tables.verify_table(artifact, self.place, known, log)
        if artifact.media is Media.DIRECTORY:
            return verify_directory(artifact, self.place, known)
        found = self.place.fingerprint(where)
        if where in known:
            return [] if found is None else [StoreFailure(where, "nothing: it was erased", "a file")]
        if found is None:
            return [StoreFailure(where, artifact.digest, "missing")]
        return [] if found[0] == artifact.digest else [StoreFailure(where, artifact.digest, found[0])]
