"""Trust rules for imported events: an imported event may assert facts only about its own workspace.

An import is an event of this workspace (job `tracecore.import`, facet `tracecore_import`) that lists foreign events by digest. A listed event counts
like an event of its workspace's own ledger; other producers' events that no import lists gain nothing. The list is read only from the ledger's
bytes, so the catalog remains a projection of the ledger.
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
"""Facet of an imported build: where it came from, and when. Only the importing workspace may state it."""
IMPORTS = "imports"
"""Folder of the store with imported bytes, one folder per build."""
JOB = "tracecore.import"
_FACET = b'"tracecore_import"'
_KEPT = 1_000
_MOST_PATHS = 10_000
"""Limit on paths through nested imports, whose number grows exponentially if each import lists all earlier ones."""

Delegations = Mapping[str, Sequence["Delegation"]]
"""By event id, the ledgers for which an imported event may assert facts, earliest import first."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """Authority that one import gives an event: it may assert facts about the workspace of `ledger`, if it is from that ledger.

    Attributes:
        folder: folder of that workspace's stored bytes in this store, ending with a slash.
        stored: refs of the versions whose bytes were imported.
        build: the imported build; None for events that came with it from a third workspace.
    """

    ledger: LedgerName
    folder: str
    stored: frozenset[str]
    build: str | None


@dataclass(frozen=True, slots=True)
class Import:
    """A parsed import of a build (full ref) from ledger `origin`, recorded at position `seq` by the workspace of ledger `importer`.

    Attributes:
        members: ids of the imported events.
        stored: refs of the versions whose bytes were imported.
        changed: ids of members that were already in the ledger and gained authority by the import.
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
        """Folder of the imported build's bytes, relative to the store and with a final slash."""
        return f"{folder_of(self.build)}/"


_PARSED: OrderedDict[str, Import] = OrderedDict()
"""Parsed imports by event id, at most `_KEPT`; the content of an id never changes."""


def folder_of(build: str) -> str:
    """Return the folder of an imported build's bytes, relative to the store and without a final slash."""
    return f"{IMPORTS}/{str(parse_ref(build).version).removeprefix('sha256:')}"


def read_import(body: bytes, seq: int) -> Import | None:
    """Parse an event that records the import of a build; None for any other event, or if its facet does not conform to docs/formats/bundle.md."""
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
        importer = LedgerName.of_producer(event["job"]["namespace"], event["producer"])
        members = frozenset(part["event_sha256"] for part in facet["tree"] if "event_sha256" in part)
        stored, changed = frozenset(facet["stored"]), frozenset(facet["changed"])
        if not all(isinstance(text, str) for text in (*members, *stored, *changed, origin.slug, origin.ledger_id)):
            return None
        return Import(ledger.event_id(body), seq, importer, origin, str(ref), members, stored, changed, facet)
    except (BadEvent, RefError, KeyError, TypeError, AttributeError):
        return None


def imports_in(connection: Connection) -> list[Import]:
    """Return the imports of builds that a ledger records, in ledger order, by reading all its events instead of the catalog."""
    return [found for leaf in ledger.read(connection) if (found := read_import(leaf.body, leaf.seq)) is not None]


def delegations_of(imports: Iterable[Import], own: LedgerName, among: Collection[str] | None = None) -> dict[str, list[Delegation]]:
    """Return, by event id, the ledgers for which an imported event may assert facts; only of the events in `among`, if given.

    `imports` are all imports in the ledger, in order: the workspace's own, and those of other workspaces among the imported events. No imported
    event may assert facts for `own`. Raises BadEvent for more than 10,000 paths through nested imports.
    """
    listed = {each.event_id: (place, each) for place, each in enumerate(imports)}
    found: dict[str, list[Delegation]] = {}
    paths = iter(range(_MOST_PATHS))
    wanted = None if among is None else frozenset(among)

    def delegate(each: Import, members: frozenset[str], stored: frozenset[str], folder: str, build: str | None) -> None:
        """Note that the events `members` may assert facts for the ledger from which `each` was imported, and recurse into that ledger's imports."""
        if next(paths, None) is None:
            raise BadEvent(f"expected imports that lead to events in at most {_MOST_PATHS:,} ways, found more")
        inside = folder + each.folder
        if each.origin.ledger_id != own.ledger_id:  # compared by id: another slug gives no right to assert facts for this ledger
            delegation = Delegation(each.origin, inside, stored, build)
            for member in members if wanted is None else members & wanted:
                found.setdefault(member, []).append(delegation)
        # Terminates: an event can't contain its own digest or that of a later event.
        for _, further in sorted((listed[identity] for identity in listed.keys() & members), key=lambda nested: nested[0]):
            if further.importer == each.origin:
                delegate(further, members & further.members, stored & further.stored, inside, None)

    for _, each in listed.values():
        if each.importer == own:
            delegate(each, each.members, each.stored, "", each.build)
    return found


def _import(connection: Connection, identity: str) -> Import | None:
    """Return the import of a build that the event with id `identity` records; None if there is no such event or it is not a valid import."""
    found = _PARSED.get(identity)
    if found is None:
        leaf = ledger.read_event(connection, identity)
        found = read_import(leaf.body, leaf.seq) if leaf is not None and ledger.event_id(leaf.body) == identity else None
        if found is not None:
            _PARSED[identity] = found
            if len(_PARSED) > _KEPT:
                _PARSED.popitem(last=False)
    return found


def known_imports(connection: Connection, build: str | None = None, *, since: int = 0) -> Iterator[Import]:
    """Yield the workspace's own imports of builds that the catalog lists, in ledger order, from position `since` on; only of `build`, if given."""
    named = (FACETS.c.name == IMPORTED, FACETS.c.subject.startswith("build/"), FACETS.c.seq >= since)
    query = select(FACETS.c.event_id, FACETS.c.seq).where(*named).order_by(FACETS.c.seq)
    for row in connection.execute(query if build is None else query.where(FACETS.c.subject == build)).all():
        found = _import(connection, row.event_id)
        if found is not None:
            yield found


def import_ids(connection: Connection) -> tuple[str, ...]:
    """Return the ids of all events in the ledger that record the import of a build, in ledger order; also those of other workspaces."""
    query = select(RUN_EVENTS.c.event_id).where(RUN_EVENTS.c.job_name == JOB, RUN_EVENTS.c.event_type == "COMPLETE").order_by(RUN_EVENTS.c.seq)
    return tuple(connection.execute(query).scalars())


def read_imports(connection: Connection, identities: Iterable[str]) -> list[Import]:
    """Return the imports of builds that the events with these ids record, in the given order; ids of other events are left out."""
    return [found for identity in identities if (found := _import(connection, identity)) is not None]


def keys_of(connection: Connection, build: str, own: Iterable[PublicKey]) -> list[PublicKey]:
    """Return the public keys that may have sealed a build: those in its bundle if it was imported (trusted for that build only), else `own`."""
    brought = next(known_imports(connection, build), None)
    if brought is None:
        return list(own)
    pems: Mapping[str, str] = brought.facet["manifest"]["keys"]
    return [PublicKey.from_pem(pem.encode(), f"the import of {build}") for pem in pems.values()]
