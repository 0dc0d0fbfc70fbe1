"""The record as it stood: which catalog answers for a part of the ledger, or for a build that was sealed in another workspace.

Mostly it is the catalog itself. An imported build is answered from a replica of what its bundle brought, exactly as the workspace that sealed it
would; and a part of the ledger that ends before an import from one in which the events that the import gave a voice to have none yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from tracecore.errors import NegativeVerdict
from tracecore_lineage import ledger
from tracecore_lineage.bundle import tree
from tracecore_lineage.queries.prefix import Prefix
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.replica import replica
from tracecore_lineage.voices import Import, known_imports

__all__ = ["as_it_stood", "imported_leaves", "of_build"]


@contextmanager
def as_it_stood(connection: Connection, prefix: Prefix) -> Iterator[Reader]:
    """Read a part of the ledger as it was when it was all of it.

    Args:
        connection: to the record's database.
        prefix: which part.
    """
    heard = next((each for each in known_imports(connection, since=prefix.bound) if _hears(connection, each, prefix)), None)
    if heard is None:
        yield Reader(connection, prefix)
        return
    with replica(ledger.read(connection, 0, prefix.bound), heard.importer, prefix.bound) as made:
        yield Reader(made, prefix)


def _hears(connection: Connection, each: Import, prefix: Prefix) -> bool:
    """Say whether an import let events of a part of the ledger say more than they did before."""
    return any(place < prefix.bound for place in ledger.places(connection, sorted(each.changed)).values())


@contextmanager
def of_build(now: Reader, ref: str, prefix: Prefix) -> Iterator[Reader]:
    """Read the part of a ledger that a sealed build stands on: of this one, or of the one that it was imported from.

    Args:
        now: of what the question may look at.
        ref: the build.
        prefix: where its release run's COMPLETE stands here.
    """
    if prefix == now.prefix:
        yield now
        return
    brought = next(known_imports(now.connection, ref), None)
    if brought is None:
        with as_it_stood(now.connection, prefix) as reader:
            yield reader
        return
    told = brought.facet["manifest"]["ledger"]
    with replica(list(imported_leaves(now.connection, brought)), brought.origin, told["size"]) as made:
        yield Reader(made, Prefix(told["position"] + 1, told["position"]))


def imported_leaves(connection: Connection, brought: Import) -> Iterator[ledger.Leaf]:
    """Give the events that an import names, with the places and times that the ledger they came from gave them.

    Raises:
        NegativeVerdict: one of them is not in the ledger.
    """
    places = ledger.places(connection, sorted(brought.members))
    bodies = ledger.read_at(connection, sorted(places.values()))
    here = {leaf.event_id: leaf.body for leaf in bodies}
    for place, part in tree.kept(tree.read_parts(brought.facet["tree"])):
        if part.event_id not in here:
            raise NegativeVerdict(
                f"Event {part.event_id[:12]}, which the import of {brought.build} names, is not in the ledger: run 'tracecore verify'."
            )
        yield ledger.Leaf(place, part.event_id, part.recorded_at, "", here[part.event_id])
