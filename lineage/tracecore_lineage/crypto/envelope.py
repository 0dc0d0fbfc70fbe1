"""DSSE envelopes: how a statement is signed, and how an envelope is opened without believing anything in it.

`securesystemslib` signs and verifies over DSSE's pre-authentication encoding. It accepts several base64 texts for the same bytes; we accept only the
canonical one, so that an envelope has exactly one form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tracecore_lineage.crypto.keys import PrivateKey, PublicKey
from tracecore_lineage.crypto.notes import CheckpointError, canonical_base64

__all__ = ["IN_TOTO", "EnvelopeError", "Opened", "open_envelope", "seal_payload"]

IN_TOTO = "application/vnd.in-toto+json"


class EnvelopeError(ValueError):
    """Not a canonical DSSE envelope; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope whose form is right; its signatures are not judged yet.

    Attributes:
        payload: the signed bytes.
        payload_type: what they are.
        signatures: (key id, signature) of each.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    def signed_by(self, keys: Iterable[PublicKey]) -> PublicKey | None:
        """Return the first of the keys that signed it; None where none did."""
        from securesystemslib.dsse import Envelope
        from securesystemslib.exceptions import VerificationError
        from securesystemslib.signer import Signature

        envelope = Envelope(self.payload, self.payload_type, {key: Signature(key, signature.hex()) for key, signature in self.signatures})
        for key in keys:
            try:
                envelope.verify([key.verifier()], threshold=1)
            except VerificationError:
                continue
            return key
        return None

    def signers(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Return every one of the keys that signed it, each once."""
        return tuple(key for key in {key.id: key for key in keys}.values() if self.signed_by([key]) is not None)


def seal_payload(payload: bytes, *keys: PrivateKey, payload_type: str = IN_TOTO) -> dict[str, Any]:
    """Sign an in-toto statement's bytes (or those of another type) and give the envelope as JSON."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    for key in keys:
        envelope.sign(key.signer())
    found: dict[str, Any] = envelope.to_dict()
    return found


def open_envelope(envelope: Mapping[str, Any]) -> Opened:
    """Read an envelope.

    Raises:
        EnvelopeError: a member is missing or of another type, or a base64 in it is not the canonical one.
    """
    payload, payload_type, signatures = envelope.get("payload"), envelope.get("payloadType"), envelope.get("signatures")
    if not isinstance(payload, str) or not isinstance(payload_type, str) or not isinstance(signatures, list) or not signatures:
        raise EnvelopeError("Expected a DSSE envelope with payload, payloadType and signatures.")
    if envelope.keys() - {"payload", "payloadType", "signatures"}:
        raise EnvelopeError(f"Expected payload, payloadType and signatures only, found {', '.join(sorted(envelope))}.")
    opened: list[tuple[str, bytes]] = []
    for entry in signatures:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("keyid"), str) or not isinstance(entry.get("sig"), str) or len(entry) != 2:
            raise EnvelopeError("Expected each signature of the envelope to hold keyid and sig.")
        opened.append((entry["keyid"], _decoded(entry["sig"], "signature")))
    if len({key for key, _ in opened}) != len(opened):
        raise EnvelopeError("Expected one signature a key, found several by one key id.")
    return Opened(_decoded(payload, "payload"), payload_type, tuple(opened))


def _decoded(text: str, what: str) -> bytes:
    try:
        return canonical_base64(text)
    except CheckpointError as error:
        shown = str(error) if len(text) <= 200 else "Expected canonical base64, found another text that stands for the same bytes, or none."
        raise EnvelopeError(f"The envelope's {what} can't be read. {shown}") from None
