"""The two questions of lineage: where did this come from, and what did it reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore_lineage import times
from tracecore_lineage.queries.answer import assemble
from tracecore_lineage.queries.backward import walk_backward
from tracecore_lineage.queries.forward import walk_forward
from tracecore_lineage.queries.found import Found
from tracecore_lineage.queries.later import what_came_later
from tracecore_lineage.queries.named import read_ref
from tracecore_lineage.queries.prefix import Prefix, head, prefix_at, readable_catalog
from tracecore_lineage.queries.standing import as_it_stood, of_build
from tracecore_lineage.queries.static import note_static
from tracecore_lineage.queries.store_paths import StorePlace
from tracecore_lineage.queries.subjects import locate
from tracecore_schemas.trace import Trace

__all__ = ["horizon", "impact", "trace"]


def horizon(connection: Connection, as_of: str | None) -> Prefix:
    """Give what a question may look at: all of the ledger, or what was recorded up to a time.

    Raises:
        UsageError: the time can't be read.
    """
    return head(connection) if as_of is None else prefix_at(connection, _instant(as_of))


def _instant(text: str) -> str:
    try:
        return times.instant(datetime.fromisoformat(text).astimezone(UTC)) if _has_offset(text) else times.instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # the year 10000 in UTC is no time either
        raise UsageError(f"{text!r} is no time: expected ISO 8601, such as 2026-11-22T15:39:45Z (UTC where no offset is given).") from None


def _has_offset(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def trace(connection: Connection, text: str, *, depth: int | None = None, as_of: str | None = None, places: Sequence[StorePlace] = ()) -> Trace:
    """Give the complete backward trace of a ref.

    Args:
        connection: to the record's database, in one consistent view.
        text: any ref; a build is answered from the prefix it was sealed over.
        depth: how many levels of runs to follow; None for all.
        as_of: recorded time: the record as it stood then.
        places: how others call what lies in the workspace's store.

    Raises:
        UsageError: an unknown or ambiguous ref, with the nearest right ones; a bad depth or time.
    """
    with readable_catalog():
        with as_it_stood(connection, horizon(connection, as_of)) as now:
            now.places = places
            start = locate(now, read_ref(now, text))
            found = start.found("backward")
            with of_build(now, start.root, start.prefix) as reader:
                reader.places = places if reader.own == now.own else ()
                versions = () if start.batches else start.versions
                note_static(reader, walk_backward(reader, found, versions, runs=start.runs, level=len(found.runs), depth=_checked(depth)), found)
                _say_cut(found, depth)
                answer = assemble(reader, found)
            answer.trace["later"] = what_came_later(now, found, answer, start.prefix.bound)
        return answer.trace


def impact(connection: Connection, text: str, *, depth: int | None = None, as_of: str | None = None, places: Sequence[StorePlace] = ()) -> Trace:
    """Give everything that a ref reached, builds first: the same shape as a trace, its direction `forward`.

    Args:
        connection: to the record's database, in one consistent view.
        text: any ref; a build reaches nothing but itself until it is installed.
        depth: how many levels of runs to follow; None for all.
        as_of: recorded time: the record as it stood then.
        places: how others call what lies in the workspace's store.

    Raises:
        UsageError: an unknown or ambiguous ref, with the nearest right ones; a bad depth or time.
    """
    with readable_catalog(), as_it_stood(connection, horizon(connection, as_of)) as now:
        now.places = places
        start = locate(now, read_ref(now, text))
        found = start.found("forward", _checked(depth))
        relation = walk_forward(now, found, [ref for ref, _ in start.versions], runs=start.runs, level=start.level, depth=depth)
        note_static(now, relation, found)
        _say_cut(found, depth)
        return assemble(now, found).trace


def _checked(depth: int | None) -> int | None:
    if depth is not None and depth < 0:
        raise UsageError(f"A depth counts levels of runs: expected 0 or more, found {depth}.")
    return depth


def _say_cut(found: Found, depth: int | None) -> None:
    if found.truncated:
        cut = f"Cut after {depth} level{'' if depth == 1 else 's'} of runs: what lies beyond is not shown."
        found.note = cut if found.note is None else f"{found.note} {cut}"
