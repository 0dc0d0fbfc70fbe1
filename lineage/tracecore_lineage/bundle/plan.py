"""What an import will do to a record as it stands: made when nobody is kept out, and looked at again under the write lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracecore_lineage.voices import Voices

__all__ = ["ImportPlan"]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import will do to the record as it stands.

    Attributes:
        imports: ids of the imports that are here already.
        places: where those of its events stand that are here already.
        own: ids of its events that are this workspace's own.
        before: voices without this import.
        after: voices with it.
        stored: refs of the versions whose bytes it must bring.
    """

    imports: tuple[str, ...]
    places: Mapping[str, int]
    own: frozenset[str]
    before: Voices
    after: Voices
    stored: frozenset[str]
