"""Projection of an event to its catalog rows: a pure function, so that the catalog is the union over all events in any order.

Only events of the workspace's own ledger (same id and slug) give checks, staleness keys, builds, and `tracecore_*` facets of the workspace's
versions; otherwise another producer could remove an unknown or declare an origin. An imported event may do the same for its own workspace
(`delegations`), except for staleness keys: imported runs are never reused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import SQLModel

from tracecore_lineage.catalog.delegation import IMPORTED, Delegation
from tracecore_lineage.events.artifacts import OWNER_FACETS, claims_in
from tracecore_lineage.events.parse import BadEvent, Event, is_deleted, parse_event, ref_or_none
from tracecore_lineage.ledger.ledger import event_id
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import is_digest
from tracecore_schemas.kinds import Use
from tracecore_schemas.refs import Ref, external_ref, parse_ref
from tracecore_schemas.sql_models import BuildRow, CheckRow, ClaimRow, EdgeRow, FacetRow, NameRow, RunEventRow, StalenessRow

__all__ = ["READS", "STATED", "UNVERSIONED", "WRITES", "Row", "dataset_ref", "project"]

UNVERSIONED = "unversioned"
"""Version in the ref of an external dataset that is read without one."""
READS, WRITES, STATED = "reads", "writes", "stated"
"""Directions of edges without a run: `reads` and `writes` by a JobEvent or a DatasetEvent's `columnLineage`, `stated` by other DatasetEvents."""
_IMPORTED = "file"
"""Namespace of files from outside that the workspace's runs import."""
_STORE = "urn:tracecore:store"
"""Namespace of store paths in workspaces' own events; each denotes a single version, so it is not an alias of a dataset."""
_FACETS = frozenset({"facets", "inputFacets", "outputFacets"})
_BY_NAME = frozenset({"bug"})
"""Kinds without versions: the name identifies the artifact."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a catalog table; `values` by column."""

    table: type[SQLModel]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Place:
    """Columns that all rows of an event share; `speaker` is the id of the ledger it speaks for."""

    event_id: str
    seq: int
    speaker: str
    event_time: str

    def row(self, table: type[SQLModel], **values: Any) -> Row:
        """Return a row of `table` with the columns that all rows of this event share and the given `values`."""
        owner = {"speaker": self.speaker} if "speaker" in table.model_fields else {}
        return Row(table, {"event_id": self.event_id, "seq": self.seq, **owner, "event_time": self.event_time, **values})


@dataclass(frozen=True, slots=True)
class _Authority:
    """The ledger (`ledger_id`; empty for another producer) for which an event may assert facts, by the workspace's own right or by delegations.

    Attributes:
        homes: namespaces in which `kind/name` with a digest is an artifact.
        ours: whether the event is from the workspace's own ledger or an imported one; `own` only the former.
        home: the workspace's own namespace.
    """

    homes: Collection[str]
    ours: bool
    own: bool
    home: str
    ledger_id: str = ""
    delegations: Sequence[Delegation] = ()

    @classmethod
    def of(cls, event: Event, ledger: LedgerName, delegations: Sequence[Delegation]) -> _Authority:
        """Return the rights of an event to assert facts in a workspace's ledger, given the delegations (rights from imports) that list the event."""
        claimed = None if event.kind == "dataset" else LedgerName.of_producer(event.members["job"]["namespace"], event.members["producer"])
        matching = [delegation for delegation in delegations if delegation.ledger == claimed]
        own = claimed == ledger
        believed = claimed.ledger_id if claimed is not None and (own or matching) else ""
        homes = {ledger.slug, *(delegation.ledger.slug for delegation in delegations)}
        return cls(homes, own or bool(matching), own, ledger.slug, believed, matching)

    def makes(self, namespace: str) -> bool:
        """Whether the event may record versions in the dataset namespace `namespace` as made by its run."""
        return (self.own and namespace == self.home) or any(delegation.ledger.slug == namespace for delegation in self.delegations)

    def as_recorded(self, subject: str, name: str, facet: Any) -> Any:
        """Return a facet for the catalog. An imported artifact's location gets the import's folder as prefix, or is removed if not imported."""
        if self.own or name != "tracecore_artifact" or not self.delegations or facet.get("location") is None:
            return facet
        folder = next((delegation.folder for delegation in self.delegations if subject in delegation.stored), None)
        if folder is None:
            return {name: value for name, value in facet.items() if name != "location"}
        return {**facet, "location": f"{folder}{facet['location']}"}


def project(body: bytes, seq: int, ledger: LedgerName, delegations: Sequence[Delegation] = ()) -> list[Row]:
    """Return the catalog rows of the event at position `seq` in the ledger of a workspace. Raises BadEvent for an invalid event.

    `delegations` are further ledgers for which the event may assert facts, by the right of imports that list the event.
    """
    event = parse_event(body)
    authority = _Authority.of(event, ledger, delegations)
    place = _Place(event_id(body), seq, authority.ledger_id, event.time)
    rows = list(_rows(event, place, authority))
    facets = _one_a_subject(row for row in rows if row.table is FacetRow)
    names = sorted({(row.values["name"], row.values["what"], row.values["other"]) for row in rows if row.table is NameRow})
    named = [place.row(NameRow, ordinal=ordinal, name=name, what=what, other=other) for ordinal, (name, what, other) in enumerate(names)]
    return [*(row for row in rows if row.table not in {FacetRow, NameRow}), *facets, *named]


def dataset_ref(homes: Collection[str], dataset: Mapping[str, Any], absent: str) -> Ref:
    """Return a dataset's full ref: an artifact's or bug's if the namespace is in `homes` and the name is of that form, else an external ref.

    An artifact's version is its digest, a bug has none; an external dataset without a version gets the version `absent`.
    """
    facet = (dataset.get("facets") or {}).get("version") or {}
    version = None if is_deleted(facet) else facet.get("datasetVersion")
    if dataset["namespace"] in homes and (version is None or is_digest(version)):
        ref = ref_or_none(dataset["name"] if version is None else f"{dataset['name']}@{version.removeprefix('sha256:')}")
        if ref is not None and (ref.is_artifact if version is not None else ref.kind in _BY_NAME and ref.version is None):
            return ref
    return parse_ref(external_ref(dataset["namespace"], dataset["name"], _label(version) if version else absent))


def _label(version: str) -> str:
    """Return another producer's version label for use in a ref, prefixed with `label:` if it could be mistaken for a reserved version."""
    return f"label:{version}" if version == UNVERSIONED or version.startswith(("run:", "label:")) else version


def _rows(event: Event, place: _Place, authority: _Authority) -> Iterator[Row]:
    """Yield all catalog rows of an event with the rights `authority` and the common columns `place`; facet and name rows may occur twice."""
    members = event.members
    if event.kind == "dataset":
        dataset = members["dataset"]
        ref = dataset_ref(authority.homes, dataset, UNVERSIONED)
        yield from _dataset_facets(dataset, str(ref), place, authority)
        yield from _claims(event, place, authority)
        if ref.kind == "external":
            columns = list(_columns(event, [], [dataset], place, authority))
            yield _edge(event, place, "output" if columns else STATED, 0, dataset, ref)
            yield from columns
        return
    yield from _facets(members["job"].get("facets"), _job(event), place)
    if event.kind == "run":
        yield from _run_rows(event, place, authority)
    for direction in ("input", "output"):
        for ordinal, dataset in enumerate(members.get(f"{direction}s", [])):
            absent = UNVERSIONED if direction == "input" or event.run_id is None else f"run:{event.run_id}"
            ref = dataset_ref(authority.homes, dataset, absent)
            yield from _dataset_facets(dataset, str(ref), place, authority, static=event.run_id is None)
            claimed = direction == "output" and ref.kind != "external" and not authority.makes(dataset["namespace"])
            if not claimed:
                yield _edge(event, place, direction, ordinal, dataset if ref.kind == "external" else _assertable(dataset, authority), ref)
    yield from _columns(event, members.get("inputs", []), members.get("outputs", []), place, authority)
    if not authority.own:
        yield from _claims(event, place, authority)


def _claims(event: Event, place: _Place, authority: _Authority) -> Iterator[Row]:
    """Yield a row for each claim: a statement of the event about an artifact for which its producer has no authority."""
    job = event.members.get("job")
    for ordinal, claim in enumerate(claims_in(event.members, lambda namespace: namespace in authority.homes and not authority.makes(namespace))):
        yield place.row(
            ClaimRow,
            ordinal=ordinal,
            subject=claim.subject,
            version=claim.version,
            run_id=event.run_id,
            job="" if job is None else f"{job['namespace']}/{job['name']}",
            says=claim.says,
        )


def _job(event: Event) -> str:
    """Return the catalog key for an event's job facets: `job:<namespace>/<name>`, or `dataset:<namespace>/<name>` for a DatasetEvent."""
    kind = "dataset" if event.kind == "dataset" else "job"
    return f"{kind}:{event.members[kind]['namespace']}/{event.members[kind]['name']}"


def _columns(
    event: Event, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]], place: _Place, authority: _Authority
) -> Iterator[Row]:
    """Yield edge and name rows for each dataset that the outputs' `columnLineage` names as input although the event does not list it as one."""
    listed = {(entry["namespace"], entry["name"]) for entry in inputs}
    fields = (
        field
        for output in outputs
        for facet in [(output.get("facets") or {}).get("columnLineage")]
        for field in [*_entries(facet, "fields"), *([facet] if isinstance(facet, Mapping) else [])]
    )
    read: dict[tuple[str, str], None] = {}
    for field in fields:
        sources = [*_entries(field, "inputFields"), *_entries(field, "dataset")]
        read.update(((source["namespace"], source["name"]), None) for source in sources if _word(source, "namespace") and _word(source, "name"))
    for ordinal, (namespace, name) in enumerate(sorted(read.keys() - listed), len(inputs)):
        dataset = {"namespace": namespace, "name": name, "inputFacets": {"tracecore_port": {"role": "column"}}}
        ref = dataset_ref(authority.homes, dataset, UNVERSIONED)
        yield from _names(dataset, str(ref), place, authority, static=event.run_id is None)
        yield _edge(event, place, "input", ordinal, dataset, ref)


def _entries(owner: Any, member: str) -> list[Mapping[str, Any]]:
    """Return the JSON objects in the list or object `member` of `owner`; empty if it has another type, which other producers may send."""
    value = owner.get(member) if isinstance(owner, Mapping) else None
    listed = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [entry for entry in listed if isinstance(entry, Mapping)]


def _assertable(dataset: Mapping[str, Any], authority: _Authority) -> Mapping[str, Any]:
    """Return a dataset without the facets that its event has no right to assert.

    These are `tracecore_*`, names and state changes of artifacts of a workspace not the event's; for others also `tracecore_*` of imported files.
    """
    namespace = dataset["namespace"]
    ours = namespace in authority.homes and not authority.makes(namespace)
    if not ours and (authority.ours or namespace != _IMPORTED):
        return dataset
    excluded = OWNER_FACETS if ours and dataset_ref(authority.homes, dataset, UNVERSIONED).kind != "external" else ()
    return {
        member: {name: facet for name, facet in value.items() if not name.startswith("tracecore_") and name not in excluded}
        if member in _FACETS and value
        else value
        for member, value in dataset.items()
    }


def _edge(event: Event, place: _Place, direction: str, ordinal: int, dataset: Mapping[str, Any], ref: Ref) -> Row:
    """Return the row that links an event's dataset (`ref`) to the event's run or, if it has none, to the job or dataset that the event describes."""
    port = (dataset.get(f"{'input' if direction == 'input' else 'output'}Facets") or {}).get("tracecore_port") or {}
    static = {"input": READS, "output": WRITES} if event.run_id is None else {}
    return place.row(
        EdgeRow,
        direction=static.get(direction, direction),
        ordinal=ordinal,
        run_id=event.run_id or _job(event),
        ref=str(ref),
        kind=ref.kind,
        name=ref.name,
        digest=f"sha256:{ref.version}" if ref.is_artifact else None,
        role=_word(port, "role") or "",
        producer_run=_word(port, "producer_run"),
        use=use if (use := _word(port, "use")) in set(Use) else None,
        change="" if event.kind == "job" else _word(_state_change(dataset), "lifecycleStateChange") or "",
        event_type=event.type,
    )


def _run_rows(event: Event, place: _Place, authority: _Authority) -> Iterator[Row]:
    """Yield the rows of a run event and its run facets; for a COMPLETE of this or an imported ledger also staleness, check and build rows."""
    members = event.members
    facets: Mapping[str, Any] = members["run"].get("facets") or {}
    yield place.row(
        RunEventRow,
        run_id=event.run_id,
        event_type=event.type,
        job_namespace=members["job"]["namespace"],
        job_name=members["job"]["name"],
        parent_run_id=_parent(facets.get("parent")),
        producer=members["producer"],
    )
    yield from _facets(facets, f"run:{event.run_id}", place)
    if authority.ours and event.type == "COMPLETE":
        yield from _own_rows(event, place, authority, facets)


def _own_rows(event: Event, place: _Place, authority: _Authority, facets: Mapping[str, Any]) -> Iterator[Row]:
    """Yield check and build rows of this or an imported ledger's COMPLETE, for this one also staleness. Raises BadEvent if a facet lacks a member."""
    execution, check, build = (facets.get(f"tracecore_{name}") for name in ("execution", "check", "build"))
    try:
        if authority.own and execution is not None and execution.get("key") is not None:
            yield place.row(StalenessRow, key=_member(execution, "key", str), run_id=event.run_id)
        if check is not None:
            success = _member(check, "success", bool)
            texts = {name: _member(check, name, str) for name in ("of_run", "target", "name", "severity", "message")}
            yield place.row(CheckRow, run_id=event.run_id, success=success, **texts)
        if build is not None and (authority.own or any(delegation.build == build.get("ref") for delegation in authority.delegations)):
            names = ("name", "ref", "program", "content_digest")
            yield place.row(
                BuildRow,
                run_id=event.run_id,
                approver=_word(build, "approver"),
                position=_member(build, "position", int),
                envelope=_canonical(_member(build, "envelope", dict)),
                **{name: _member(build, name, str) for name in names},
            )
    except KeyError as error:
        raise BadEvent(f"run.facets: expected {error.args[0]} in a facet of ours") from None


def _member(facet: Mapping[str, Any], name: str, type_: type) -> Any:
    """Return the member `name` of a facet. Raises KeyError if it is missing or not of type `type_`."""
    value = facet.get(name)
    if not isinstance(value, type_):
        raise KeyError(f"'{name}' as {type_.__name__}")
    return value


def _dataset_facets(dataset: Mapping[str, Any], subject: str, place: _Place, authority: _Authority, *, static: bool = False) -> Iterator[Row]:
    """Yield the rows of a dataset's facets and names, except the facets for version and port, which its ref and edge row contain.

    For an event without a run (`static`), `lifecycleStateChange` is left out, since it happened at no particular time.
    """
    yield from _names(dataset, subject, place, authority, static=static)
    dataset = _assertable(dataset, authority)
    # Another workspace's import facet is left out: it would look as if this workspace had imported the build.
    excluded = {"version", *(() if authority.own else (IMPORTED,)), *(("lifecycleStateChange",) if static else ())}
    kept = {name: authority.as_recorded(subject, name, facet) for name, facet in (dataset.get("facets") or {}).items() if name not in excluded}
    yield from _facets(kept, subject, place)
    for member in ("inputFacets", "outputFacets"):
        yield from _facets({name: facet for name, facet in (dataset.get(member) or {}).items() if name != "tracecore_port"}, subject, place)


def _state_change(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facet `lifecycleStateChange` of a dataset; empty if there is none."""
    return (dataset.get("facets") or {}).get("lifecycleStateChange") or {}


def _names(dataset: Mapping[str, Any], subject: str, place: _Place, authority: _Authority, *, static: bool) -> Iterator[Row]:
    """Yield rows of a dataset's aliases (ALIAS), revocations (GONE) and renames (RENAME); for an artifact, only aliases by other producers."""
    symlinks = (dataset.get("facets") or {}).get("symlinks")
    name, others = subject.partition("@")[0], _entries(symlinks, "identifiers")
    if not subject.startswith("external/"):
        aliases = {_named(other, authority) for other in others} if not authority.ours else set()
        yield from (place.row(NameRow, name=each, what="ALIAS", other=name) for each in aliases if each is not None and each.startswith("external/"))
        return
    if is_deleted(symlinks):
        yield place.row(NameRow, name=name, what="GONE", other="")
    found = [("ALIAS", other) for other in (*others, dataset)]
    change = _state_change(dataset)
    if not static and change.get("lifecycleStateChange") == "RENAME" and isinstance(change.get("previousIdentifier"), Mapping):
        found.append(("RENAME", change["previousIdentifier"]))
    for what, identifier in found:
        if (other := _named(identifier, authority)) not in {None, name}:
            yield place.row(NameRow, name=name, what=what, other=other)


def _named(identifier: Mapping[str, Any], authority: _Authority) -> str | None:
    """Return the unversioned ref of a dataset identifier; None if it is incomplete, or a store path in an event of this or an imported workspace."""
    namespace, name = _word(identifier, "namespace"), _word(identifier, "name")
    if not (namespace and name) or (namespace == _STORE and authority.ours):
        return None
    if namespace in authority.homes:
        ref = ref_or_none(name)
        if ref is not None and ref.is_artifact and ref.version is None:
            return str(ref)
    return parse_ref(external_ref(namespace, name, UNVERSIONED)).unversioned


def _facets(facets: Mapping[str, Any] | None, subject: str, place: _Place) -> Iterator[Row]:
    """Yield a catalog row for each of the `facets` of a subject (run, job or dataset)."""
    for name, facet in (facets or {}).items():
        yield place.row(FacetRow, subject=subject, name=name, value=_canonical(facet))


def _one_a_subject(rows: Iterator[Row]) -> list[Row]:
    """Return one row per subject and facet name; of several, the row whose JSON text is last in string order."""
    kept: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row.values["subject"], row.values["name"])
        if key not in kept or kept[key].values["value"] < row.values["value"]:
            kept[key] = row
    return list(kept.values())


def _parent(facet: Mapping[str, Any] | None) -> str | None:
    """Return the parent's run id in a run facet `parent`, in lower case; None if there is none."""
    run = (facet or {}).get("run")
    parent = _word(run, "runId") if isinstance(run, Mapping) else None
    return parent.lower() if parent else None


def _word(owner: Mapping[str, Any], name: str) -> str | None:
    """Return the member `name` of a JSON object if it is a string, else None."""
    value = owner.get(name)
    return value if isinstance(value, str) else None


def _canonical(value: Any) -> str:
    """Return JSON text with sorted keys; not RFC 8785, since other producers' events may contain integers beyond 2^53 - 1."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
