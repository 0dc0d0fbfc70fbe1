"""Artifacts read back from OpenLineage datasets; claims: statements of an event about artifacts outside its producer's authority.

Any producer may state that it read a workspace's artifact. That it made, renamed, emptied or dropped one is a claim: it is shown, but not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tracecore_lineage.events.parse import ref_or_none
from tracecore_schemas.canonical import hex_of, is_digest
from tracecore_schemas.kinds import Media, kind_of
from tracecore_schemas.refs import external_ref
from tracecore_schemas.run import Artifact, DeltaVersion, FieldSpec, Origin, TableVersion, Unknown

__all__ = ["CHANGES", "MADE", "OWNER_FACETS", "STANDARD", "UNVERSIONED", "Claim", "artifact_from", "bare", "claims_in", "own_name", "table_of"]

STANDARD = frozenset({"schema", "version", "symlinks", "tracecore_artifact", "tracecore_origin", "tracecore_unknowns"})
"""Dataset facets that carry the fields of an `Artifact`; all others are its `facets`."""

UNVERSIONED = "unversioned"
"""Placeholder digest of an external file whose version is unknown."""


def artifact_from(namespace: str, dataset: Mapping[str, Any]) -> Artifact | None:
    """Return the artifact that a dataset in a tracecore event describes; None if its version is not a digest.

    A dataset outside `namespace` (the workspace's) is an external file.
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
    """Return the published table type (name, version, description, extended types) in a facet `tracecore_artifact`; None if it has none."""
    table = stored.get("table")
    return table and TableVersion(table["name"], table["version"], table["description"], tuple(table["extends"]))


def bare(facet: Mapping[str, Any]) -> dict[str, Any]:
    """Return a facet without OpenLineage's `_producer` and `_schemaURL`."""
    return {name: value for name, value in facet.items() if name not in {"_producer", "_schemaURL"}}


def _list(found: Mapping[str, Any], facet: str, member: str) -> Sequence[Any]:
    """Return the list `member` of the facet named `facet` in `found`; empty if there is none."""
    return (found.get(facet) or {}).get(member) or ()


MADE = "made this version"
OWNER_FACETS = frozenset({"symlinks", "lifecycleStateChange"})
"""Dataset facets that only the artifact's own workspace may state."""
CHANGES = {"DROP": "dropped it", "TRUNCATE": "emptied it", "ALTER": "altered it", "OVERWRITE": "overwrote it", "CREATE": "created it"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about the artifact `subject` (`kind/name`); `version` is a hex digest or empty, `says` a predicate such as `dropped it`."""

    subject: str
    version: str
    says: str


def claims_in(members: Mapping[str, Any], foreign: Callable[[str], bool]) -> Iterator[Claim]:
    """Yield each claim of a parsed event once: a statement about an artifact of a workspace (`foreign(namespace)`) other than its producer's."""
    listed = [(dataset, False) for dataset in (*members.get("inputs", ()), *([] if {"run", "job"} & members.keys() else [members["dataset"]]))]
    listed += [(dataset, True) for dataset in members.get("outputs", ())]
    yield from dict.fromkeys(claim for dataset, written in listed for claim in _claims_of(dataset, foreign, written=written))


def own_name(namespace: object, name: object, foreign: Callable[[str], bool]) -> str | None:
    """Return the ref `kind/name` if a dataset is an artifact or bug of a workspace other than its producer's (`foreign(namespace)`); else None."""
    if not (isinstance(namespace, str) and isinstance(name, str) and foreign(namespace)):
        return None
    ref = ref_or_none(name)
    return ref.unversioned if ref is not None and (ref.is_artifact or ref.kind == "bug") and ref.version is None else None


def _claims_of(dataset: Mapping[str, Any], foreign: Callable[[str], bool], *, written: bool) -> Iterator[Claim]:
    """Yield a dataset's claims: statements about artifacts whose namespace is `foreign`; `written` is whether the dataset is an event's output."""
    facets = _object(dataset.get("facets"))
    version = _object(facets.get("version")).get("datasetVersion")
    digest = hex_of(version) if isinstance(version, str) and is_digest(version) else ""
    state = _object(facets.get("lifecycleStateChange"))
    change, previous = state.get("lifecycleStateChange"), _object(state.get("previousIdentifier"))
    ours = own_name(dataset["namespace"], dataset["name"], foreign)
    called = _called(dataset)
    if ours is not None:
        if written or change in {*CHANGES, "RENAME"}:
            yield Claim(ours, digest, _did(change, digest, version, previous))
    elif written or change is not None:
        identifiers = _object(facets.get("symlinks")).get("identifiers")
        for identifier in identifiers if isinstance(identifiers, list) else ():
            alias = own_name(_object(identifier).get("namespace"), _object(identifier).get("name"), foreign)
            if alias is not None:
                yield Claim(alias, digest, f"{_did(change, digest, version, previous)}, under the name {called}")
    old = own_name(previous.get("namespace"), previous.get("name"), foreign) if change == "RENAME" else None
    if old is not None:
        yield Claim(old, "", f"renamed it to {called}")


def _did(change: object, digest: str, version: object, previous: Mapping[str, Any]) -> str:
    """Return the predicate of a claim, such as `dropped it`, for a known lifecycle change, else for a write."""
    if change == "RENAME":
        return f"renamed {_called(previous)} to it"
    if isinstance(change, str) and change in CHANGES and not (digest and change in {"OVERWRITE", "CREATE"}):
        return CHANGES[change]
    if digest:
        return MADE
    return f"made a version of it, {version!r}" if isinstance(version, str) else "made a version of it, without its digest"


def _called(dataset: Mapping[str, Any]) -> str:
    """Return the external ref of a dataset, without version; `a dataset without a name` if namespace or name is missing."""
    namespace, name = dataset.get("namespace"), dataset.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        return "a dataset without a name"
    return external_ref(namespace, name, "").removesuffix("@")


def _object(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, else an empty object."""
    return value if isinstance(value, Mapping) else {}
