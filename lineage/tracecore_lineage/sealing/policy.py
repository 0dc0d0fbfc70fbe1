"""The key policy: which keys sign builds, and how many of them have to. It is signed, stands in the ledger, and can be changed only by its own keys.

What is signed is the policy's canonical JSON in a DSSE envelope: by the key that signs the ledger, and, where a policy is in force, by as many of its
keys as it asks for. See docs/formats/build.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore.errors import UsageError
from tracecore_lineage.sealing.envelope import EnvelopeError, Opened, open_envelope
from tracecore_lineage.sealing.keys import PublicKey, short_id
from tracecore_schemas.canonical import digest_bytes, jcs

__all__ = ["POLICY_PAYLOAD", "KeyPolicy", "Policies", "PolicyEvent", "refusal", "short"]

POLICY_PAYLOAD = "application/vnd.tracecore.key-policy+json"
_TYPE = "urn:tracecore:key_policy:1"


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """A policy.

    Attributes:
        ledger: origin of the ledger that it holds for.
        threshold: how many of the signers have to sign a build.
        signers: the keys that may, by id.
        previous: digest of the policy that it takes the place of; None where it is the first.
    """

    ledger: str
    threshold: int
    signers: tuple[PublicKey, ...]
    previous: str | None

    def payload(self) -> bytes:
        """Give what is signed."""
        return jcs(
            {
                "type": _TYPE,
                "ledger": self.ledger,
                "threshold": self.threshold,
                "signers": [{"id": key.id, "public_key": key.pem} for key in self.signers],
                "previous": self.previous,
            }
        )

    @property
    def digest(self) -> str:
        """The policy's identity: the digest of what is signed."""
        return digest_bytes(self.payload())

    @property
    def ids(self) -> frozenset[str]:
        """Ids of its keys."""
        return frozenset(key.id for key in self.signers)

    def words(self) -> str:
        """Say what it asks for."""
        return f"{self.threshold} of {len(self.signers)}"


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """A policy as an event says it; nothing in it is believed yet."""

    seq: int
    facet: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies that came into force, in order.

    Attributes:
        standing: (position of its event, policy).
        problems: (position, what was expected, what was found) of each event that is no policy; the one before it stays in force.
    """

    standing: tuple[tuple[int, KeyPolicy], ...] = ()
    problems: tuple[tuple[int, str, str], ...] = ()

    @classmethod
    def read(cls, events: Iterable[PolicyEvent], ledger: str, vouching: Sequence[PublicKey]) -> Policies:
        """Judge every policy that a ledger holds.

        Args:
            events: in the ledger's order.
            ledger: its origin.
            vouching: keys that are believed to have signed the ledger.
        """
        standing: list[tuple[int, KeyPolicy]] = []
        problems: list[tuple[int, str, str]] = []
        for event in events:
            try:
                policy, opened = _read(event.facet)
            except (EnvelopeError, UsageError, AttributeError, KeyError, TypeError, ValueError) as error:
                problems.append((event.seq, "a signed policy in its one form", str(error)))
                continue
            before = standing[-1][1] if standing else None
            wrong = ("a policy for this ledger", policy.ledger) if policy.ledger != ledger else refusal(policy, opened, before, vouching)
            if wrong is None:
                standing.append((event.seq, policy))
            else:
                problems.append((event.seq, *wrong))
        return cls(tuple(standing), tuple(problems))

    def at(self, position: int) -> KeyPolicy | None:
        """Give the policy in force at a position of the ledger."""
        return next((policy for seq, policy in reversed(self.standing) if seq < position), None)

    @property
    def now(self) -> KeyPolicy | None:
        """The policy in force at the ledger's end."""
        return self.standing[-1][1] if self.standing else None


def refusal(policy: KeyPolicy, opened: Opened, before: KeyPolicy | None, vouching: Sequence[PublicKey]) -> tuple[str, str] | None:
    """Say why a signed policy can't take the place of the one before: what was expected, what was found; None where it can."""
    previous = None if before is None else before.digest
    if policy.previous != previous:
        return f"a policy that follows {previous or 'none'}", policy.previous or "one that follows none"
    if before is not None:
        signed = opened.signers(before.signers)
        if len(signed) < before.threshold:
            return f"signatures by {before.words()} keys of the policy before", f"{len(signed)}{short(signed)}"
    if opened.signed_by(vouching) is None:
        return "a signature by the key that signs the ledger", "none that is valid"
    return None


def short(keys: Iterable[PublicKey]) -> str:
    """Name keys in a few letters each, behind a number."""
    names = ", ".join(short_id(key.id) for key in keys)
    return f" ({names})" if names else ""


def _read(facet: Mapping[str, Any]) -> tuple[KeyPolicy, Opened]:
    signers = tuple(PublicKey.from_pem(each["public_key"].encode(), "the policy") for each in facet["signers"])
    ids = [key.id for key in signers]
    threshold = facet["threshold"]
    if ids != sorted(set(ids)) or ids != [each["id"] for each in facet["signers"]]:
        raise ValueError("its signers are not told by their ids, each once and in order")
    if type(threshold) is not int or not 1 <= threshold <= len(ids):
        raise ValueError(f"its threshold is {threshold!r} of {len(ids)} keys")
    opened = open_envelope(facet["envelope"])
    if opened.payload_type != POLICY_PAYLOAD:
        raise EnvelopeError(f"Expected a payload of type {POLICY_PAYLOAD}, found {opened.payload_type}.")
    from tracecore_lineage.reading import strict_json

    said = strict_json(opened.payload)
    policy = KeyPolicy(str(said["ledger"]), threshold, signers, facet.get("previous"))
    if policy.payload() != opened.payload:
        raise EnvelopeError("Expected the policy that the event tells of, found another in the envelope.")
    return policy, opened
