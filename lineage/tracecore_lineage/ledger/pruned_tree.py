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
        """The leaf hash, computed."""
        return merkle.leaf_hash(ledger.leaf_data(self.recorded_at, self.event_id))


@dataclass(frozen=True, slots=True)
class Left:
    """A complete subtree of 2^level omitted leaves."""

    level: int
    hash: bytes


Part = Kept | Left


def prune(leaves: Iterable[ledger.Leaf], held: Collection[str], cuts: Collection[int]) -> Iterator[Part]:
    """Yield the parts of a ledger pruned to the event ids in `held`; the root stays computable at each size in `cuts`."""
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
    """Return the Merkle frontier over all parts, and the roots at those of `sizes` where a part ends. Raises TreeError for misaligned subtrees."""
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
    """Yield (position in the original ledger, leaf) of each included leaf."""
    place = 0
    for part in parts:
        if isinstance(part, Kept):
            yield place, part
            place += 1
        else:
            place += 1 << part.level


def written(part: Part) -> dict[str, Any]:
    """Return a part as a JSON object."""
    if isinstance(part, Kept):
        return {"recorded_at": part.recorded_at, "event_sha256": part.event_id, "size": part.size}
    return {"level": part.level, "hash": part.hash.hex()}


def read_part(value: Any) -> Part:
    """Parse a part. Raises TreeError if it is neither a leaf nor a subtree."""
    match value:
        case {"recorded_at": str(time), "event_sha256": str(identity), "size": int(size)} if len(value) == 3:
            if _TIME.fullmatch(time) and _HASH.fullmatch(identity) and size >= 0 and not isinstance(size, bool):
                return Kept(time, identity, size)
        case {"level": int(level), "hash": str(hashed)} if len(value) == 2:
            if 0 <= level < 63 and not isinstance(level, bool) and _HASH.fullmatch(hashed):
                return Left(level, bytes.fromhex(hashed))
    raise TreeError(f"expected a leaf (recorded_at, event_sha256, size) or a subtree (level, hash) in the tree, found {str(value)[:80]}")


def read_parts(values: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """Parse all parts. Raises TreeError like `read_part`."""
    return tuple(read_part(value) for value in values)
