"""Claims: statements of an event about artifacts outside its producer's authority.

Any producer may state that it read a workspace's artifact. That it made, renamed, emptied or dropped one is a claim: it is shown, but not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracecore_schemas.canonical import hex_of, is_digest
from tracecore_schemas.refs import RefError, external_ref, parse_ref

__all__ = ["CHANGES", "MADE", "SAID_BY_CLAIMS", "Claim", "claims_in", "own_name"]

MADE = "made this version"
SAID_BY_CLAIMS = frozenset({"symlinks", "lifecycleStateChange"})
"""Dataset facets that only the artifact's own workspace may state."""
CHANGES = {"DROP": "dropped it", "TRUNCATE": "emptied it", "ALTER": "altered it", "OVERWRITE": "overwrote it", "CREATE": "created it"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about the artifact `subject` (`kind/name`); `version` is a hex digest or empty, `says` a predicate such as `dropped it`."""

    subject: str
    version: str
    says: str


def claims_in(members: Mapping[str, Any], foreign: Callable[[str], bool]) -> Iterator[Claim]:
    """Yield the claims of a parsed event, each once; `foreign` is whether a namespace is a workspace's over which the producer has no authority."""
    listed = [(dataset, False) for dataset in (*members.get("inputs", ()), *([] if {"run", "job"} & members.keys() else [members["dataset"]]))]
    listed += [(dataset, True) for dataset in members.get("outputs", ())]
    yield from dict.fromkeys(claim for dataset, written in listed for claim in _of(dataset, foreign, written=written))


def own_name(namespace: object, name: object, foreign: Callable[[str], bool]) -> str | None:
    """Return the `kind/name` that a dataset's namespace and name denote if it is an artifact or bug in a foreign workspace; else None."""
    if not (isinstance(namespace, str) and isinstance(name, str) and foreign(namespace)):
        return None
    try:
        ref = parse_ref(name)
    except RefError:
        return None
    return ref.unversioned if (ref.is_artifact or ref.kind == "bug") and ref.version is None else None


def _of(dataset: Mapping[str, Any], foreign: Callable[[str], bool], *, written: bool) -> Iterator[Claim]:
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
        for identifier in _list(_object(facets.get("symlinks")).get("identifiers")):
            alias = own_name(_object(identifier).get("namespace"), _object(identifier).get("name"), foreign)
            if alias is not None:
                yield Claim(alias, digest, f"{_did(change, digest, version, previous)}, under the name {called}")
    old = own_name(previous.get("namespace"), previous.get("name"), foreign) if change == "RENAME" else None
    if old is not None:
        yield Claim(old, "", f"renamed it to {called}")


def _did(change: object, digest: str, version: object, previous: Mapping[str, Any]) -> str:
    """Return the claim text for a lifecycle change or write."""
    if change == "RENAME":
        return f"renamed {_called(previous)} to it"
    if isinstance(change, str) and change in CHANGES and not (digest and change in {"OVERWRITE", "CREATE"}):
        return CHANGES[change]
    if digest:
        return MADE
    return f"made a version of it, {version!r}" if isinstance(version, str) else "made a version of it, without its digest"


def _called(dataset: Mapping[str, Any]) -> str:
    namespace, name = dataset.get("namespace"), dataset.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        return "a dataset without a name"
    return external_ref(namespace, name, "").removesuffix("@")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
