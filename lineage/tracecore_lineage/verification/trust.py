"""Which keys a verification believes: the one that the caller pinned, and those that the ledger ties to it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageProblem
from tracecore_lineage import rotation
from tracecore_lineage.checkpoint import Checkpoint
from tracecore_lineage.keys import KeyRing, PublicKey
from tracecore_lineage.verification.history import History, KeyChange

__all__ = ["Trust", "read_key", "trust"]


@dataclass(frozen=True, slots=True)
class Trust:
    """Believed keys.

    Attributes:
        keys: every key whose signature is taken.
        pinned: the key that the caller named, where one was.
    """

    keys: tuple[PublicKey, ...]
    pinned: PublicKey | None

    @property
    def expected(self) -> str:
        """What is expected of a signature, in words."""
        if self.pinned is not None:
            return f"a signature by the pinned key {self.pinned.id[:12]}"
        return "a signature by a key of this workspace" if self.keys else "a public key in the workspace's keys folder"


def read_key(path: Path) -> PublicKey:
    """Read the public key that a caller pins.

    Raises:
        UsageProblem: no such file, or no Ed25519 public key.
    """
    try:
        return PublicKey.from_pem(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageProblem(f"The public key {path} can't be read: {(error.strerror or str(error)).lower()}.") from None


def trust(ring: KeyRing, pinned: PublicKey | None, history: History, head: Checkpoint | None) -> Trust:
    """Choose the keys to believe.

    A key that signed its successor is followed to it. Backwards a pinned key vouches for the keys before it only through the whole ledger: it must
    have signed the head that follows from the events, which name them.

    Args:
        ring: the workspace's keys.
        pinned: the key that the caller trusts; None takes the workspace's own.
        history: the ledger, recomputed.
        head: the ledger's checkpoint, parsed; None where it can't be read.
    """
    known = {key.id: key for key in ring.public_keys()}
    if pinned is None:
        return Trust(tuple(known.values()), None)
    believed = {pinned.id: pinned}
    _grow(believed, history.key_changes, _successor)
    root = history.roots.get(head.size) if head is not None else None
    if head is not None and head.root == root and head.signed_by(believed.values()) is not None:
        _grow(believed, history.key_changes, lambda change, keys: known.get(change.old or "") if change.new in keys else None)
    return Trust(tuple(believed.values()), pinned)


def _grow(keys: dict[str, PublicKey], changes: Sequence[KeyChange], step: Callable[[KeyChange, dict[str, PublicKey]], PublicKey | None]) -> None:
    """Take a step along every change until none leads further."""
    grown = True
    while grown:
        grown = False
        for change in changes:
            found = step(change, keys)
            if found is not None and found.id not in keys:
                keys[found.id] = found
                grown = True


def _successor(change: KeyChange, keys: dict[str, PublicKey]) -> PublicKey | None:
    old = keys.get(change.old or "")
    if old is None or change.signature is None:
        return None
    try:
        new = PublicKey.from_pem(change.public_key.encode(), "a key change in the ledger")
        signature = base64.b64decode(change.signature, validate=True)
    except (UsageProblem, ValueError):
        return None
    return new if new.id == change.new and old.verifies(signature, rotation.statement(old.id, new)) else None
