"""DSSE envelopes: signing payloads, and parsing envelopes without trusting them.

`securesystemslib` signs and verifies DSSE's pre-authentication encoding. Only canonical base64 is accepted, so that an envelope has one form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tracecore_lineage.crypto.keys import PrivateKey, PublicKey
from tracecore_lineage.crypto.notes import CheckpointError, canonical_base64
from tracecore_schemas.refs import parse_ref

__all__ = ["IN_TOTO", "STATEMENT", "EnvelopeError", "Opened", "open_envelope", "seal_payload", "statement_about"]

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"


class EnvelopeError(ValueError):
    """Not a canonical DSSE envelope; the message states what was expected."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A well-formed envelope whose signatures are not verified; `signatures` are (key id, signature) pairs."""

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    def signed_by(self, keys: Iterable[PublicKey]) -> PublicKey | None:
        """Return the first of `keys` with a valid signature in this envelope; None if there is none."""
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
        """Return those of `keys` with a valid signature in this envelope, each once, in the given order."""
        return tuple(key for key in {key.id: key for key in keys}.values() if self.signed_by([key]) is not None)


def statement_about(refs: Iterable[str], predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an in-toto Statement v1 with a predicate about artifacts, given by full ref; each subject has the ref's name and SHA-256."""
    subjects = [(ref.unversioned, (ref.version or "").removeprefix("sha256:")) for ref in map(parse_ref, dict.fromkeys(refs))]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def seal_payload(payload: bytes, *keys: PrivateKey, payload_type: str = IN_TOTO) -> dict[str, Any]:
    """Sign bytes (by default an in-toto statement) with each of `keys`, and return the DSSE envelope as a JSON object."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    for key in keys:
        envelope.sign(key.signer())
    found: dict[str, Any] = envelope.to_dict()
    return found


def open_envelope(envelope: Mapping[str, Any]) -> Opened:
    """Parse a DSSE envelope without verifying its signatures.

    Raises EnvelopeError for a missing, extra or invalid member, two signatures by one key id, or non-canonical base64.
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
    """Decode canonical base64. Raises EnvelopeError, which names the envelope's member `what`, if `text` is not canonical."""
    try:
        return canonical_base64(text)
    except CheckpointError as error:
        shown = str(error) if len(text) <= 200 else "Expected canonical base64, found another text that stands for the same bytes, or none."
        raise EnvelopeError(f"The envelope's {what} can't be read. {shown}") from None
