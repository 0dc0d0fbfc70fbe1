"""Backward trace and forward impact of a ref, as of a ledger position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection

from tracecore.errors import NegativeVerdict, UsageError
from tracecore_lineage.catalog.delegation import Import, known_imports
from tracecore_lineage.catalog.prefix import Prefix, head, readable_catalog
from tracecore_lineage.catalog.replay import snapshot
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.model import rfc3339
from tracecore_lineage.trace.answer import assemble, changes_since_seal
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import read_ref
from tracecore_lineage.trace.start import locate
from tracecore_lineage.trace.store_paths import StorePlace
from tracecore_lineage.trace.walk import Walk, note_static, walk_backward, walk_forward
from tracecore_schemas.trace import Trace

__all__ = ["catalog_as_of", "horizon", "impact", "imported_leaves", "of_build", "trace"]


@contextmanager
def catalog_as_of(connection: Connection, prefix: Prefix) -> Iterator[Reader]:
    """Open a reader of the catalog as it was when the ledger ended with `prefix` (its first events).

    If a later import raised the authority (`Reader.rank`) of events in the prefix, the catalog is rebuilt in memory without that import.
    """
    for later in known_imports(connection, since=prefix.bound):
        if any(place < prefix.bound for place in ledger.places(connection, sorted(later.changed)).values()):
            with snapshot(ledger.read(connection, 0, prefix.bound), later.importer, prefix.bound) as made:
                yield Reader(made, prefix)
            return
    yield Reader(connection, prefix)


@contextmanager
def of_build(now: Reader, ref: str, prefix: Prefix) -> Iterator[Reader]:
    """Open a reader of the ledger as it was when build `ref` was sealed; for an imported build, of the ledger that it was imported from.

    `now` reads the ledger at a later time; `prefix` (its first events) ends after the COMPLETE event of the build's release run.
    """
    if prefix == now.prefix:
        yield now
        return
    brought = next(known_imports(now.connection, ref), None)
    if brought is None:
        with catalog_as_of(now.connection, prefix) as reader:
            yield reader
        return
    origin = brought.facet["manifest"]["ledger"]
    with snapshot(list(imported_leaves(now.connection, brought)), brought.origin, origin["size"]) as made:
        yield Reader(made, Prefix(origin["position"] + 1, origin["position"]))


def imported_leaves(connection: Connection, brought: Import) -> Iterator[ledger.Leaf]:
    """Yield an import's events, with positions and recorded times of the ledger of origin. Raises NegativeVerdict if one is missing here."""
    places = ledger.places(connection, sorted(brought.members))
    bodies = ledger.read_at(connection, sorted(places.values()))
    here = {leaf.event_id: leaf.body for leaf in bodies}
    for place, part in pruned_tree.kept(pruned_tree.read_parts(brought.facet["tree"])):
        if part.event_id not in here:
            raise NegativeVerdict(
                f"Event {part.event_id[:12]}, which the import of {brought.build} names, is not in the ledger: run 'tracecore verify'."
            )
        yield ledger.Leaf(place, part.event_id, part.recorded_at, "", here[part.event_id])


def horizon(connection: Connection, as_of: str | None) -> Prefix:
    """Return the prefix (first events) of the ledger recorded up to ISO 8601 time `as_of`, all if None. Raises UsageError for an invalid time."""
    if as_of is None:
        return head(connection)
    try:
        time = datetime.fromisoformat(as_of)
        size = ledger.position_at(connection, rfc3339.instant(time if time.tzinfo is None else time.astimezone(UTC)))
    except (ValueError, OverflowError):  # the year 10000 in UTC is not a valid time either
        raise UsageError(f"{as_of!r} is not a time: expected ISO 8601, such as 2026-11-22T15:39:45Z (UTC where no offset is given).") from None
    return Prefix(size, size)


def trace(connection: Connection, text: str, *, depth: int | None = None, as_of: str | None = None, places: Sequence[StorePlace] = ()) -> Trace:
    """Return the backward trace of a ref: everything it was made from, up to `depth` levels of runs.

    Args:
        text: any ref; for a build, only events up to its seal count, and later changes are listed apart.
        as_of: ISO 8601 time up to which events count.
        places: dataset names under which other producers address the workspace's store.

    Raises:
        UsageError: unknown or ambiguous ref, with the nearest match; invalid depth or time.
    """
    with readable_catalog():
        with catalog_as_of(connection, horizon(connection, as_of)) as now:
            now.places = places
            start = locate(now, read_ref(now, text))
            walk = start.begin("backward")
            with of_build(now, start.root, start.prefix) as reader:
                reader.places = places if reader.own == now.own else ()
                versions = () if start.batches else start.versions
                note_static(reader, walk_backward(reader, walk, versions, runs=start.runs, level=len(walk.runs), depth=_checked(depth)), walk)
                _note_cut(walk, depth)
                answer = assemble(reader, walk)
            answer.trace["later"] = changes_since_seal(now, walk, answer, start.prefix.bound)
        return answer.trace


def impact(connection: Connection, text: str, *, depth: int | None = None, as_of: str | None = None, places: Sequence[StorePlace] = ()) -> Trace:
    """Return the forward trace of a ref: everything made from it, builds first. Arguments and errors are those of `trace`."""
    with readable_catalog(), catalog_as_of(connection, horizon(connection, as_of)) as now:
        now.places = places
        start = locate(now, read_ref(now, text))
        walk = start.begin("forward", _checked(depth))
        relation = walk_forward(now, walk, [ref for ref, _ in start.versions], runs=start.runs, level=start.level, depth=depth)
        note_static(now, relation, walk)
        _note_cut(walk, depth)
        return assemble(now, walk).trace


def _checked(depth: int | None) -> int | None:
    """Return the depth unchanged. Raises UsageError if it is negative."""
    if depth is not None and depth < 0:
        raise UsageError(f"A depth counts levels of runs: expected 0 or more, found {depth}.")
    return depth


def _note_cut(walk: Walk, depth: int | None) -> None:
    """Add a note to a walk if it was cut off after `depth` levels of runs."""
    if walk.truncated:
        cut = f"Cut after {depth} level{'' if depth == 1 else 's'} of runs: what lies beyond is not shown."
        walk.note = cut if walk.note is None else f"{walk.note} {cut}"
