"""Proofs for users without the ledger: that it contains an event (inclusion), and that it has only grown since a checkpoint (consistency).

An inclusion proof is a C2SP tlog-proof (c2sp.org/tlog-proof@v1): a text with the position, the hashes on the path to the root, and the signed
checkpoint; its `extra` line is the leaf's data. All hashes are recomputed from the events' bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from tracecore.errors import NegativeVerdict, UsageError
from tracecore_lineage.crypto import merkle, notes
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.crypto.notes import Checkpoint, CheckpointError, canonical_base64
from tracecore_lineage.ledger import ledger

__all__ = ["ConsistencyProof", "InclusionProof", "consistency", "inclusion", "parse"]

FORMAT = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Proof that a leaf is in the ledger of a signed checkpoint (`note`, verbatim).

    `leaf_data` are the hashed bytes, canonical JSON of `{v, recorded_at, event_sha256}`; `hashes` the siblings from the leaf to the root, 32 bytes
    each.
    """

    index: int
    leaf_data: bytes
    hashes: tuple[bytes, ...]
    note: str

    @property
    def head(self) -> Checkpoint:
        """The proof's checkpoint (signed ledger head), parsed."""
        return notes.parse(self.note)

    @property
    def text(self) -> str:
        """The inclusion proof as text, in the form of a tlog-proof file."""
        lines = [FORMAT, f"extra {_base64(self.leaf_data)}", f"index {self.index}", *map(_base64, self.hashes)]
        return "\n".join(lines) + "\n\n" + self.note

    def signed_by(self, keys: Collection[PublicKey]) -> PublicKey | None:
        """Return the first of `keys` that signed the proof's checkpoint; None if none did or the proof's leaf is not in the checkpoint's tree."""
        head = self.head
        included = merkle.verify_inclusion(merkle.leaf_hash(self.leaf_data), self.index, head.size, self.hashes, head.root)
        return head.signed_by(keys) if included else None


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """Proof that the ledger's first `old_size` events, with recomputed root `old_root`, are a prefix of the ledger of a signed checkpoint.

    `hashes` are the proof nodes of RFC 6962, 32 bytes each; `note` is the current checkpoint, verbatim.
    """

    old_size: int
    old_root: bytes
    hashes: tuple[bytes, ...]
    note: str

    @property
    def head(self) -> Checkpoint:
        """The proof's current checkpoint (signed ledger head), parsed."""
        return notes.parse(self.note)


def inclusion(connection: Connection, event: str | int) -> InclusionProof:
    """Return a proof that the ledger contains an event, given by its id (64 hex digits) or its position.

    Raises UsageError if the event is not in the ledger, NegativeVerdict if the ledger differs from its signed head.
    """
    head = ledger.head(connection)
    index = _index(connection, event, head.size)
    leaves = _leaves(connection, head)
    [leaf] = ledger.read(connection, index, index + 1)
    data = ledger.leaf_data(leaf.recorded_at, ledger.event_id(leaf.body))
    return InclusionProof(index, data, tuple(merkle.inclusion_proof(leaves, index)), head.checkpoint)


def consistency(connection: Connection, old_size: int) -> ConsistencyProof:
    """Return a proof that the ledger only had events appended since it had `old_size` events.

    Raises UsageError if `old_size` is larger than the ledger, NegativeVerdict if the ledger differs from its signed head.
    """
    head = ledger.head(connection)
    if not 0 <= old_size <= head.size:
        raise UsageError(f"The ledger holds {head.size} events: expected an earlier size of at most that, found {old_size}.")
    leaves = _leaves(connection, head)
    return ConsistencyProof(old_size, merkle.root_of(leaves[:old_size]), tuple(merkle.consistency_proof(leaves, old_size)), head.checkpoint)


def parse(text: str) -> InclusionProof:
    """Parse an inclusion proof without verifying it. Raises CheckpointError if it is malformed."""
    proof, gap, note = text.partition("\n\n")
    lines = proof.split("\n")
    if not gap or lines[0] != FORMAT or len(lines) < 3:
        raise CheckpointError(f"Expected a proof: the line {FORMAT!r}, 'extra', 'index' and hashes, an empty line, then a checkpoint.")
    extra, index = lines[1].removeprefix("extra "), lines[2].removeprefix("index ")
    if extra == lines[1] or index == lines[2] or not _INDEX.fullmatch(index):
        raise CheckpointError("Expected 'extra' with the leaf's data in the second line of a proof and 'index' with its position in the third.")
    hashes = tuple(canonical_base64(line) for line in lines[3:])
    if any(len(value) != 32 for value in hashes):
        raise CheckpointError("Expected hashes of 32 bytes in a proof.")
    notes.parse(note)
    return InclusionProof(int(index), canonical_base64(extra), hashes, note)


def _index(connection: Connection, event: str | int, size: int) -> int:
    """Return the position of an event, given by position or id, in a ledger of `size` events. Raises UsageError if the ledger lacks the event."""
    if isinstance(event, int) or _INDEX.fullmatch(event):
        index = int(event)
        if not 0 <= index < size:
            raise UsageError(f"There is no event at position {index}: the ledger holds {size} events, from 0 on.")
        return index
    identity = event.lower().removeprefix("sha256:")
    if not _ID.fullmatch(identity):
        raise UsageError(f"{event!r} names no event: expected its id, 64 hexadecimal digits (the SHA-256 of its bytes), or its position.")
    found = ledger.places(connection, [identity]).get(identity)
    if found is None:
        raise UsageError(f"The ledger holds no event {identity[:12]}… ('tracecore events export' gives all of them).")
    return found


def _leaves(connection: Connection, head: ledger.Head) -> list[bytes]:
    """Return the ledger's leaf hashes, recomputed from the events' bytes. Raises NegativeVerdict if they don't give the root that `head` signs."""
    try:
        leaves = ledger.leaves(connection, head.size)
        signed = notes.parse(head.checkpoint)
    except ValueError as error:  # CheckpointError is one
        raise NegativeVerdict(
            f"The ledger is not what its signed head says ({error}), so nothing can be proven of it: run 'tracecore verify'."
        ) from None
    if (merkle.root_of(leaves), head.size) != (signed.root, signed.size):
        raise NegativeVerdict("The ledger's events don't give the root that its head signs, so nothing can be proven of it: run 'tracecore verify'.")
    return leaves


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
