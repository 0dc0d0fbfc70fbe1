"""Pruned ledgers of bundles: the leaves of included events, and the hashes of complete subtrees of omitted ones between them.

Folding the parts from left to right gives the root at every size at which the tree was cut: where the build was sealed, and where the ledger ended at
export. One list thus proves the inclusion of every leaf and the consistency of all these roots.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore_lineage.crypto import merkle
from tracecore_lineage.ledger import ledger

__all__ = ["Kept", "Left", "Part", "TreeError", "fold", "kept", "prune", "read_part", "written"]

_HASH = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class TreeError(ValueError):
    """Not a valid pruned ledger; the message states what was expected."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The leaf of an included event; `size` is that of its bytes."""

    recorded_at: str
    event_id: str
    size: int

    @property
    def hash(self) -> bytes:
        """The Merkle leaf hash of the included event, computed from recorded time and event id."""
        return merkle.leaf_hash(ledger.leaf_data(self.recorded_at, self.event_id))


@dataclass(frozen=True, slots=True)
class Left:
    """A complete subtree of 2^level omitted leaves."""

    level: int
    hash: bytes


Part = Kept | Left


def prune(leaves: Iterable[ledger.Leaf], held: Collection[str], cuts: Collection[int]) -> Iterator[Part]:
    """Yield a pruned ledger, in order: the leaves of the events whose ids are in `held`, and the Merkle roots of subtrees of the other events.

    No such subtree crosses a ledger size in `cuts`, so that the ledger's root at this size can still be computed.
    """
    waiting: list[Left] = []
    for place, leaf in enumerate(leaves):
        if place in cuts:
            yield from waiting
            waiting.clear()
        if leaf.event_id in held:
            yield from waiting
            waiting.clear()
            yield Kept(leaf.recorded_at, leaf.event_id, len(leaf.body))
            continue
        merged, level, begin = ledger.leaf_hash(leaf.recorded_at, leaf.body), 0, place
        while waiting and waiting[-1].level == level and not (begin - (1 << level)) & ((1 << level + 1) - 1):
            merged, begin, level = merkle.node_hash(waiting.pop().hash, merged), begin - (1 << level), level + 1
        waiting.append(Left(level, merged))
    yield from waiting


def fold(parts: Iterable[Part], sizes: Collection[int]) -> tuple[merkle.Frontier, dict[int, bytes]]:
    """Return (Merkle frontier over a pruned ledger's parts, its root at each of `sizes` where a part ends). TreeError if a subtree is misplaced."""
    frontier = merkle.Frontier()
    roots = {0: merkle.EMPTY_ROOT}
    for part in parts:
        try:
            frontier.append(part.hash, part.level if isinstance(part, Left) else 0)
        except ValueError as error:
            raise TreeError(str(error)) from None
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    return frontier, roots


def kept(parts: Iterable[Part]) -> Iterator[tuple[int, Kept]]:
    """Yield (position in the whole ledger, leaf) of each event that the parts of a pruned ledger include."""
    place = 0
    for part in parts:
        if isinstance(part, Kept):
            yield place, part
            place += 1
        else:
            place += 1 << part.level


def written(part: Part) -> dict[str, Any]:
    """Return a part (leaf or root of a left-out subtree) of a pruned ledger as a JSON object."""
    if isinstance(part, Kept):
        return {"recorded_at": part.recorded_at, "event_sha256": part.event_id, "size": part.size}
    return {"level": part.level, "hash": part.hash.hex()}


def read_part(value: Any) -> Part:
    """Parse a part of a pruned ledger. Raises TreeError if it is neither a leaf nor the root of a left-out subtree."""
    match value:
        case {"recorded_at": str(time), "event_sha256": str(identity), "size": int(size)} if len(value) == 3:
            if _TIME.fullmatch(time) and _HASH.fullmatch(identity) and size >= 0 and not isinstance(size, bool):
                return Kept(time, identity, size)
        case {"level": int(level), "hash": str(hashed)} if len(value) == 2:
            if 0 <= level < 63 and not isinstance(level, bool) and _HASH.fullmatch(hashed):
                return Left(level, bytes.fromhex(hashed))
    raise TreeError(f"expected a leaf (recorded_at, event_sha256, size) or a subtree (level, hash) in the tree, found {str(value)[:80]}")


def read_parts(values: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """Parse the parts of a pruned ledger. Raises TreeError if one is neither a leaf nor the root of a left-out subtree."""
    return tuple(read_part(value) for value in values)
