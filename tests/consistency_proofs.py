"""The verifier of consistency proofs that RFC 9162 gives readers of a ledger; tracecore itself recomputes the roots."""

from __future__ import annotations

from collections.abc import Sequence

from tracecore_lineage.crypto import merkle


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree with `new_root` extends the tree with `old_root` (RFC 9162, 2.1.4.2)."""
    if old_size in {0, new_size}:
        return not proof and (old_root == new_root if old_size else old_root == merkle.EMPTY_ROOT)
    if not 0 < old_size < new_size or not proof:
        return False
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = merkle.node_hash(step, old), merkle.node_hash(step, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = merkle.node_hash(new, step)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root
