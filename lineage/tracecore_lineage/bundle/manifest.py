"""Manifest of a bundle: its build, the build's position in its ledger, and the digest of every other entry; signed by the workspace."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

from tracecore_lineage.bundle.container import Entry, NotABundle
from tracecore_lineage.crypto.envelope import Opened
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.crypto.notes import CheckpointError, canonical_base64
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["EVENTS", "MANIFEST", "PAYLOAD", "SIGNATURES", "STORE", "TREE", "TYPE", "Manifest", "read_manifest", "read_signatures", "sign"]

TYPE = "urn:tracecore:bundle:1"
PAYLOAD = "application/vnd.tracecore.bundle+json"
"""DSSE payload type of the signed manifest."""
TREE, EVENTS, MANIFEST, SIGNATURES = "tree", "events", "bundle.json", "signatures.json"
STORE = "store/"
_MEMBERS = {"v", "type", "build", "origin", "ledger", "keys", "stored", "entries"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content of a manifest, untrusted until verified.

    Attributes:
        origin: slug of the workspace that sealed the build.
        position: index of the build's event in the ledger.
        size: number of events in the ledger at export.
        checkpoint: signed note over the ledger.
        keys: public keys of the workspace, PEM by key id.
        stored: refs of the versions whose bytes are in the bundle.
        entries: entries in file order, except manifest and signatures.
    """

    build: str
    origin: str
    ledger_id: str
    position: int
    size: int
    checkpoint: str
    keys: Mapping[str, str]
    stored: tuple[str, ...]
    entries: tuple[Entry, ...]

    def document(self) -> dict[str, Any]:
        """Return the bundle's manifest as a JSON object, with the members listed in docs/formats/bundle.md."""
        return {
            "v": 1,
            "type": TYPE,
            "build": self.build,
            "origin": self.origin,
            "ledger": {"id": self.ledger_id, "position": self.position, "size": self.size, "checkpoint": self.checkpoint},
            "keys": dict(self.keys),
            "stored": list(self.stored),
            "entries": [{"name": entry.name, "size": entry.size, "sha256": entry.sha256} for entry in self.entries],
        }

    @property
    def ledger_name(self) -> LedgerName:
        """Name of the ledger in which the bundled build was sealed, from `origin` and `ledger_id`."""
        return LedgerName(self.origin, self.ledger_id)

    @property
    def data(self) -> bytes:
        """The manifest as canonical JSON (RFC 8785), the bytes that are signed."""
        return jcs(self.document())


def read_manifest(data: bytes, where: str) -> Manifest:
    """Parse the bytes of a `bundle.json`. Raises NotABundle, naming the bundle as `where`, if they are invalid or from a newer tracecore."""

    def bad(why: str) -> NotABundle:
        return NotABundle(f"{where} can't be read as a bundle: {why}.")

    try:
        content = loads_strict(data)
    except StrictJSONError as error:
        raise bad(f"its {MANIFEST} is not JSON ({error})") from None
    type_ = content.get("type") if isinstance(content, dict) else None
    if not isinstance(type_, str) or not type_.startswith(TYPE.rpartition(":")[0] + ":"):
        raise bad(f"expected {TYPE!r} as the type of its {MANIFEST}, found {type_!r}")
    if type_ != TYPE or content.get("v") != 1:
        raise bad(f"it was written by a newer tracecore ({type_}, version {content.get('v')}); this one reads {TYPE}: upgrade to read it")
    try:
        ledger = content["ledger"]
        if set(content) != _MEMBERS or set(ledger) != {"id", "position", "size", "checkpoint"} or jcs(content) != data:
            raise bad(f"its {MANIFEST} has other members than docs/formats/bundle.md says, or is not in canonical JSON")
        return Manifest(
            _build(content["build"]),
            _text(content["origin"]),
            _text(ledger["id"]),
            _count(ledger["position"]),
            _count(ledger["size"]),
            _text(ledger["checkpoint"]),
            {_text(name): _text(pem) for name, pem in content["keys"].items()},
            tuple(_text(ref) for ref in content["stored"]),
            tuple(_entry(each) for each in content["entries"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, rfc8785.CanonicalizationError) as error:
        raise bad(f"its {MANIFEST} is not what docs/formats/bundle.md says ({error})") from None


def _entry(each: Any) -> Entry:
    if set(each) != {"name", "size", "sha256"}:
        raise ValueError(f"expected name, size and sha256 of an entry, found {sorted(each)}")
    return Entry(_text(each["name"]), _count(each["size"]), _text(each["sha256"]))


def _build(value: Any) -> str:
    ref = parse_ref(_text(value))
    if ref.kind != ArtifactKind.BUILD or not ref.is_whole or str(ref) != value:
        raise ValueError(f"expected the whole ref of a build, found {value[:80]!r}")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, found {value!r}")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"expected a count, found {value!r}")
    return value


def sign(data: bytes, key: PrivateKey) -> bytes:
    """Sign a manifest's bytes and return the `signatures` member of their DSSE envelope as canonical JSON."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(data, PAYLOAD, {})
    envelope.sign(key.signer())
    return jcs(envelope.to_dict()["signatures"])


def read_signatures(manifest: bytes, signatures: bytes | Sequence[Mapping[str, str]], where: str) -> Opened:
    """Parse the DSSE signatures over a manifest, given as file bytes or JSON list; return manifest and signatures as an unverified envelope.

    Raises NotABundle, naming the bundle as `where`, unless `signatures` is a nonempty list, in canonical JSON if given as bytes.
    """
    try:
        found = _signatures(signatures)
    except (StrictJSONError, CheckpointError, ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise NotABundle(f"{where} can't be read as a bundle: its {SIGNATURES} has no DSSE signatures ({error}).") from None
    return Opened(manifest, PAYLOAD, found)


def _signatures(signatures: bytes | Sequence[Mapping[str, str]]) -> tuple[tuple[str, bytes], ...]:
    listed = loads_strict(signatures) if isinstance(signatures, bytes) else list(signatures)
    if isinstance(signatures, bytes) and jcs(listed) != signatures:
        raise ValueError("expected canonical JSON")
    if not listed:
        raise ValueError("expected at least one")
    return tuple(_signature(each) for each in listed)


def _signature(each: Mapping[str, str]) -> tuple[str, bytes]:
    if set(each) != {"keyid", "sig"}:
        raise ValueError(f"expected keyid and sig, found {sorted(each)}")
    return _text(each["keyid"]), canonical_base64(each["sig"])
