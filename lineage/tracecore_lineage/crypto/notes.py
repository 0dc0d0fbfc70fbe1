"""Checkpoints: the signed head of a ledger as a C2SP signed note.

The text has three lines: origin, tree size in decimal, root in base64. After an empty line follows one line per signature:
`— <name> <base64 of 4 bytes of key hash and 64 bytes of Ed25519 signature>`. Sources: C2SP tlog-checkpoint and signed-note.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageError
from tracecore_lineage.crypto.keys import PrivateKey, PublicKey

__all__ = ["Checkpoint", "CheckpointError", "Signature", "canonical_base64", "parse", "read", "sign"]

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_SIGNATURE = re.compile("— ([^\\s+]+) ([A-Za-z0-9+/=]+)")


class CheckpointError(ValueError):
    """Not a valid checkpoint; the message states what was expected."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: signer name, 4-byte key hash, and signature bytes."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A parsed checkpoint (32-byte Merkle root over `size` events) whose signatures are not verified; `text` is what was signed."""

    origin: str
    size: int
    root: bytes
    text: str
    signatures: tuple[Signature, ...]

    def signed_by(self, keys: Iterable[PublicKey]) -> PublicKey | None:
        """Return the first of `keys` with a valid signature on this checkpoint under its ledger's name (`origin`); None if there is none."""
        for key in keys:
            for line in self.signatures:
                if line.name == self.origin and line.key_hash == key.note_hash(line.name) and key.verifies(line.signature, self.text.encode()):
                    return key
        return None


def sign(key: PrivateKey, origin: str, size: int, root: bytes) -> str:
    """Return the signed note (C2SP checkpoint) of ledger `origin` over a tree's size and root."""
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    signature = base64.b64encode(key.public.note_hash(origin) + key.sign(text.encode())).decode()
    return f"{text}\n— {origin} {signature}\n"


def parse(note: str) -> Checkpoint:
    """Parse a checkpoint without verifying its signatures. Raises CheckpointError if it is not a signed note of origin, size and root."""
    text, gap, tail = note.rpartition("\n\n")
    lines = text.split("\n")
    if not gap or len(lines) < 3 or not lines[0]:
        raise CheckpointError("Expected a signed note: origin, size and root in lines of their own, an empty line, then signatures.")
    if not _SIZE.fullmatch(lines[1]):
        raise CheckpointError(f"Expected the ledger's size as a decimal number in the second line, found {lines[1]!r}.")
    root = canonical_base64(lines[2])
    if len(root) != 32:
        raise CheckpointError(f"Expected a root of 32 bytes in the third line, found {len(root)}.")
    if not tail.endswith("\n"):
        raise CheckpointError("Expected each signature line to end with a newline.")
    signatures = tuple(_signature(line) for line in tail[:-1].split("\n"))
    return Checkpoint(lines[0], int(lines[1]), root, text + "\n", signatures)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint from a file without verifying its signatures. Raises UsageError if the file is missing or not a checkpoint."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The checkpoint {path} can't be read: {(error.strerror or str(error)).lower()}.") from None
    except (CheckpointError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a checkpoint as 'tracecore checkpoint' writes it: {error}") from None


def canonical_base64(text: str) -> bytes:
    """Decode base64. Raises CheckpointError unless `text` is the canonical form (`BQ==`, not `BR==`, which encodes the same byte)."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError(f"Expected base64, found {text!r} ({error}).") from None
    if base64.b64encode(decoded).decode() != text:
        raise CheckpointError(f"Expected canonical base64, found {text!r}: another text encodes the same bytes.")
    return decoded


def _signature(line: str) -> Signature:
    """Parse one signature line of a signed note. Raises CheckpointError if it is malformed."""
    match = _SIGNATURE.fullmatch(line)
    if match is None:
        raise CheckpointError(f"Expected a signature line '— NAME BASE64', found {line!r}.")
    decoded = canonical_base64(match[2])
    if len(decoded) < 5:
        raise CheckpointError(f"Expected 4 bytes of key hash and a signature behind {match[1]!r}, found {len(decoded)} bytes.")
    return Signature(match[1], decoded[:4], decoded[4:])
