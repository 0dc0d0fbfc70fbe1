"""The one guess a trace makes: an input without a version is taken to be the newest earlier output of that dataset, and is marked as inferred.

It is never counted as complete: an input without a version is a gap whether or not a producer could be inferred.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracecore_lineage.queries.reader import Link, Reader
from tracecore_schemas.refs import parse_ref

__all__ = ["UNVERSIONED", "Readings", "dataset_of", "is_unversioned"]

UNVERSIONED = "unversioned"


def is_unversioned(ref: str) -> bool:
    """Say whether a ref names another producer's dataset without a version."""
    return ref.endswith(f"@{UNVERSIONED}")


def dataset_of(ref: str) -> str:
    """Give the ref without its version."""
    return ref.partition("@")[0]


@dataclass(frozen=True, slots=True)
class Readings:
    """The completed outputs of some datasets, earliest first, to find what a reading without a version most likely read."""

    outputs: dict[str, list[Link]]

    @classmethod
    def of(cls, reader: Reader, refs: Iterable[str]) -> Readings:
        """Look the outputs of these refs' datasets up."""
        wanted = {dataset_of(ref) for ref in refs}
        outputs: dict[str, list[Link]] = {}
        for link in reader.outputs_named("external", {parse_ref(dataset).name for dataset in wanted}):
            if dataset_of(link.ref) in wanted:
                outputs.setdefault(dataset_of(link.ref), []).append(link)
        return cls(outputs)

    def likely(self, reading: Link) -> Link | None:
        """Give the newest output of the dataset that is older than a reading of it, by another run."""
        before = (reading.event_time, reading.event_id)
        earlier = [
            link for link in self.outputs.get(dataset_of(reading.ref), ()) if (link.event_time, link.event_id) < before and link.run != reading.run
        ]
        return earlier[-1] if earlier else None
