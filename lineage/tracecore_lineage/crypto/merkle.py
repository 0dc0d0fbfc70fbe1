"""Merkle tree of RFC 6962: hashes, root, incremental frontier, inclusion and consistency proofs.

Hashes are 32 raw bytes; the root of an empty tree is the hash of the empty string. Source: RFC 6962 section 2.1; inclusion proofs are verified as in
RFC 9162 section 2.1.3.2, whose trees are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root_of",
    "verify_inclusion",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 of 0x00 and the data."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 of 0x01 and both child hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """State of a growing Merkle tree: the number of leaves and the roots of its complete subtrees, largest first, one per 1 bit of `size`.

    Raises ValueError if the number of hashes doesn't fit the size.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if size < 0 or len(self.hashes) != size.bit_count():
            raise ValueError(f"Expected {size.bit_count()} subtree hashes for a tree of {size} leaves, found {len(self.hashes)}.")

    def append(self, hashed: bytes, level: int = 0) -> None:
        """Append a leaf hash, or the root of a complete subtree of 2^level leaves. ValueError if the tree's size is not a multiple of 2^level."""
        if level < 0 or self.size & ((1 << level) - 1):
            raise ValueError(f"Expected a multiple of 2^{level} leaves before a subtree of that level, found {self.size}.")
        merged, carry = hashed, self.size >> level
        while carry & 1:
            merged = node_hash(self.hashes.pop(), merged)
            carry >>= 1
        self.hashes.append(merged)
        self.size += 1 << level

    def root(self) -> bytes:
        """Return the Merkle root over all leaves appended so far."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for subtree in reversed(self.hashes[:-1]):
            root = node_hash(subtree, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle root over leaf hashes, using memory logarithmic in their number."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def _split(size: int) -> int:
    """Return the largest power of two below `size` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of the leaf at `index`, from the leaf up (RFC 6962, PATH). Raises ValueError if `index` is out of range."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"Expected a leaf index below {len(leaves)}, found {index}.")
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*inclusion_proof(leaves[:middle], index), root_of(leaves[middle:])]
    return [*inclusion_proof(leaves[middle:], index - middle), root_of(leaves[:middle])]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the tree over all leaves extends the tree over the first `old_size` (RFC 6962, PROOF). ValueError if there are fewer."""
    if not 0 <= old_size <= len(leaves):
        raise ValueError(f"Expected an old size of at most {len(leaves)}, found {old_size}.")
    return _subproof(leaves, old_size, whole=True) if old_size else []


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    """Return the nodes of a consistency proof (RFC 6962, SUBPROOF); `whole` is whether the verifier knows the root over `old_size` leaves."""
    if old_size == len(leaves):
        return [] if whole else [root_of(leaves)]
    middle = _split(len(leaves))
    if old_size <= middle:
        return [*_subproof(leaves[:middle], old_size, whole=whole), root_of(leaves[middle:])]
    return [*_subproof(leaves[middle:], old_size - middle, whole=False), root_of(leaves[:middle])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that a leaf hash is at `index` in the tree of `size` leaves with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, value = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            value = node_hash(step, value)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            value = node_hash(value, step)
        place, last = place >> 1, last >> 1
    return last == 0 and value == root
