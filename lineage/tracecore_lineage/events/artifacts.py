"""Reads artifacts back from the OpenLineage datasets written by `datasets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tracecore_schemas.canonical import is_digest
from tracecore_schemas.kinds import Media, kind_of
from tracecore_schemas.run import Artifact, DeltaVersion, FieldSpec, Origin, TableVersion, Unknown

__all__ = ["STANDARD", "UNVERSIONED", "artifact_from", "bare", "table_of"]

STANDARD = frozenset({"schema", "version", "symlinks", "tracecore_artifact", "tracecore_origin", "tracecore_unknowns"})
"""Dataset facets that carry the fields of an `Artifact`; all others are its `facets`."""

UNVERSIONED = "unversioned"
"""Placeholder digest of an external file whose version is unknown."""


def artifact_from(namespace: str, dataset: Mapping[str, Any]) -> Artifact | None:
    """Return the artifact of a dataset in one of tracecore's events; None if its version is not a digest.

    Args:
        namespace: the workspace's namespace; datasets of others are external files.
        dataset: an entry of the event's inputs or outputs.
    """
    found: Mapping[str, Any] = dataset.get("facets") or {}
    digest = (found.get("version") or {}).get("datasetVersion", "")
    if not is_digest(digest):
        return None
    ours = dataset["namespace"] == namespace
    kind, _, encoded = dataset["name"].partition("/") if ours else ("external", "", dataset["name"])
    stored = found.get("tracecore_artifact") or {}
    delta = stored.get("delta")
    origin = found.get("tracecore_origin")
    return Artifact(
        kind=kind_of(kind, stored.get("of_kind")),
        name=unquote(encoded) if ours else encoded,
        digest=digest,
        media=Media(stored.get("media", Media.NONE)),
        location=stored.get("location"),
        size_bytes=stored.get("size_bytes"),
        rows=stored.get("rows"),
        schema=tuple(FieldSpec(field["name"], field.get("type", ""), field.get("description", "")) for field in _list(found, "schema", "fields")),
        delta=delta and DeltaVersion(delta["version"], delta["log"]),
        origin=origin and Origin(origin["name"], origin["digest"], origin["size_bytes"], origin["note"]),
        unknowns=tuple(Unknown(entry["what"], entry["why"]) for entry in _list(found, "tracecore_unknowns", "unknowns")),
        facets={name: bare(value) for name, value in found.items() if name not in STANDARD},
        namespace=None if ours else dataset["namespace"],
        table=table_of(stored),
    )


def table_of(stored: Mapping[str, Any]) -> TableVersion | None:
    """Return the table type in a facet `tracecore_artifact`, or None."""
    table = stored.get("table")
    return table and TableVersion(table["name"], table["version"], table["description"], tuple(table["extends"]))


def bare(facet: Mapping[str, Any]) -> dict[str, Any]:
    """Return a facet without OpenLineage's `_producer` and `_schemaURL`."""
    return {name: value for name, value in facet.items() if name not in {"_producer", "_schemaURL"}}


def _list(found: Mapping[str, Any], facet: str, member: str) -> Sequence[Any]:
    return (found.get(facet) or {}).get(member) or ()
