"""Trust rules for imported events: an imported event may assert facts only about its own workspace.

An import is an event of this workspace (job `tracecore.import`, facet `tracecore_import`) that names foreign events by their digests. Those, wherever
they came from, then say of their workspace's artifacts what only its own events can say; a stranger's event that no import names gains nothing. Which
events are named is read from the ledger's bytes only, so that the catalog stays a projection of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.events.parse import BadEvent, strict_json
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import FACETS, RUN_EVENTS
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import is_digest
from tracecore_schemas.refs import RefError, parse_ref

__all__ = [
    "IMPORTED",
    "IMPORTS",
    "JOB",
    "Delegation",
    "Delegations",
    "Import",
    "delegations_of",
    "folder_of",
    "import_ids",
    "imports_in",
    "keys_of",
    "known_imports",
    "read_import",
    "read_imports",
]

IMPORTED = "tracecore_imported"
"""Facet of an imported build: where it came from, and when. Only the workspace that imported it says so."""
IMPORTS = "imports"
"""Folder of the store that holds what imports brought, one folder a build."""
JOB = "tracecore.import"
_FACET = b'"tracecore_import"'
_KEPT = 1_000
_MOST_WAYS = 10_000
"""Ways by which imports within imports may lead to events: a few dozen that each name all before them would lead by more than can be gone."""

Delegations = Mapping[str, Sequence["Delegation"]]
"""By event id, the ledgers for which each imported event may assert facts, the import that came first before others."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """What one import lets an event say.

    Attributes:
        ledger: that it may speak for, if it is one of its own events.
        folder: where the bytes of that workspace's store lie in this one, with a slash behind.
        stored: refs of the versions whose bytes came along; of others the bytes are not kept here.
        build: the build that was imported; None for what came with it from a third workspace.
    """

    ledger: LedgerName
    folder: str
    stored: frozenset[str]
    build: str | None


@dataclass(frozen=True, slots=True)
class Import:
    """What an import's event says that the projection needs.

    Attributes:
        event_id: of its COMPLETE.
        seq: its position in this ledger.
        importer: the ledger of the workspace that imported.
        origin: the ledger that was imported from.
        build: whole ref of the build.
        members: ids of the events that it names.
        stored: refs of the versions whose bytes it brought.
        changed: ids of events that had been in the ledger before and say more since.
        facet: all of it.
    """

    event_id: str
    seq: int
    importer: LedgerName
    origin: LedgerName
    build: str
    members: frozenset[str]
    stored: frozenset[str]
    changed: frozenset[str]
    facet: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """Where its bytes lie, relative to the store, with a slash behind."""
        return f"{folder_of(self.build)}/"


def folder_of(build: str) -> str:
    """Return the folder of an imported build's bytes, relative to the store."""
    return f"{IMPORTS}/{str(parse_ref(build).version).removeprefix('sha256:')}"


def read_import(body: bytes, seq: int) -> Import | None:
    """Read what an import's event says; None of any other event, and of one whose facet is not what docs/formats/bundle.md says."""
    if _FACET not in body:
        return None
    try:
        event = strict_json(body)
        facet = event["run"]["facets"]["tracecore_import"]
        if event.get("eventType") != "COMPLETE" or event["job"]["name"] != JOB:
            return None
        ref = parse_ref(facet["build"])
        if ref.kind != "build" or ref.version is None or not is_digest(f"sha256:{ref.version}"):
            return None
        manifest = facet["manifest"]
        origin = LedgerName(manifest["origin"], manifest["ledger"]["id"])
        importer = LedgerName.speaking(event["job"]["namespace"], event["producer"])
        members = frozenset(part["event_sha256"] for part in facet["tree"] if "event_sha256" in part)
        stored, changed = frozenset(facet["stored"]), frozenset(facet["changed"])
        if not all(isinstance(text, str) for text in (*members, *stored, *changed, origin.slug, origin.ledger_id)):
            return None
        return Import(ledger.event_id(body), seq, importer, origin, str(ref), members, stored, changed, facet)
    except (BadEvent, RefError, KeyError, TypeError, AttributeError):
        return None


def imports_in(connection: Connection) -> list[Import]:
    """Find the imports of a ledger by reading all of it: no row of the catalog is asked."""
    return [found for leaf in ledger.read(connection) if (found := read_import(leaf.body, leaf.seq)) is not None]


def delegations_of(imports: Iterable[Import], own: LedgerName, among: Collection[str] | None = None) -> dict[str, list[Delegation]]:
    """Return the ledgers for which each imported event may assert facts.

    Args:
        imports: every import that the ledger holds, in its order: the workspace's own and, among the events those brought, others'.
        own: the workspace's own ledger, for which no imported event speaks.
        among: ids of the events that are asked about; None asks about all.

    Raises:
        BadEvent: imports within imports are more than anybody makes.
    """
    listed = {each.event_id: (place, each) for place, each in enumerate(imports)}
    found: dict[str, list[Delegation]] = {}
    ways = iter(range(_MOST_WAYS))
    wanted = None if among is None else frozenset(among)
    for _, each in listed.values():
        if each.importer == own:
            _listen(each, each.members, each.stored, "", listed, found, own, ways, wanted, build=each.build)
    return found


def _listen(
    each: Import,
    members: frozenset[str],
    stored: frozenset[str],
    folder: str,
    listed: Mapping[str, tuple[int, Import]],
    found: dict[str, list[Delegation]],
    own: LedgerName,
    ways: Iterator[int],
    wanted: frozenset[str] | None,
    build: str | None,
) -> None:
    """Add what one import lets its events say, and after it what the imports among them did in the workspace it came from."""
    if next(ways, None) is None:
        raise BadEvent(f"expected imports that lead to events in at most {_MOST_WAYS:,} ways, found more")
    inside = folder + each.folder
    if each.origin.ledger_id != own.ledger_id:  # whatever slug it gives there: no other workspace speaks as this ledger
        voice = Delegation(each.origin, inside, stored, build)
        for member in members if wanted is None else members & wanted:
            found.setdefault(member, []).append(voice)
    # An event can't name itself or what came after it, so that this ends.
    for _, further in sorted((listed[identity] for identity in listed.keys() & members), key=lambda nested: nested[0]):
        if further.importer == each.origin:
            _listen(further, members & further.members, stored & further.stored, inside, listed, found, own, ways, wanted, None)


class _Cache:
    """The last imports that were read, by event id: the content of an id never changes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Import] = OrderedDict()

    def get(self, connection: Connection, identity: str) -> Import | None:
        found = self._kept.get(identity)
        if found is None:
            leaf = ledger.read_event(connection, identity)
            found = read_import(leaf.body, leaf.seq) if leaf is not None and ledger.event_id(leaf.body) == identity else None
            if found is None:
                return None
            self._kept[identity] = found
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found


_CACHE = _Cache()


def known_imports(connection: Connection, build: str | None = None, *, since: int = 0) -> Iterator[Import]:
    """Return the workspace's own imports as the catalog leads to them, in order; of one build where it is named, from a position on."""
    named = (FACETS.c.name == IMPORTED, FACETS.c.subject.startswith("build/"), FACETS.c.seq >= since)
    query = select(FACETS.c.event_id, FACETS.c.seq).where(*named).order_by(FACETS.c.seq)
    for row in connection.execute(query if build is None else query.where(FACETS.c.subject == build)).all():
        found = _CACHE.get(connection, row.event_id)
        if found is not None:
            yield found


def import_ids(connection: Connection) -> tuple[str, ...]:
    """Return the ids of the events by which the ledger, others' among them, took something over, in order."""
    query = select(RUN_EVENTS.c.event_id).where(RUN_EVENTS.c.job_name == JOB, RUN_EVENTS.c.event_type == "COMPLETE").order_by(RUN_EVENTS.c.seq)
    return tuple(connection.execute(query).scalars())


def read_imports(connection: Connection, identities: Iterable[str]) -> list[Import]:
    """Return the imports that events record, in their order."""
    return [found for identity in identities if (found := _CACHE.get(connection, identity)) is not None]


def keys_of(connection: Connection, build: str, own: Iterable[PublicKey]) -> list[PublicKey]:
    """Return the keys that may have sealed a build: the workspace's own, or those that came with an imported one, trusted for that build only."""
    brought = next(known_imports(connection, build), None)
    if brought is None:
        return list(own)
    pems: Mapping[str, str] = brought.facet["manifest"]["keys"]
    return [PublicKey.from_pem(pem.encode(), f"the import of {build}") for pem in pems.values()]
