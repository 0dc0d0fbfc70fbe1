"""Key policies (the keys that may sign builds and how many must), and whether a build's signatures meet its policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore.errors import UsageError
from tracecore_lineage.crypto.envelope import EnvelopeError, Opened, open_envelope
from tracecore_lineage.crypto.keys import PublicKey, short_id
from tracecore_lineage.crypto.notes import CheckpointError, canonical_base64
from tracecore_schemas.canonical import digest_bytes, jcs

__all__ = [
    "POLICY_PAYLOAD",
    "FacetEvent",
    "KeyPolicy",
    "Policies",
    "SealSignatures",
    "raw_signers",
    "refusal",
    "short",
    "signatures_of",
]

POLICY_PAYLOAD = "application/vnd.tracecore.key-policy+json"
_TYPE = "urn:tracecore:key_policy:1"


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """The keys that may sign the builds of the ledger with origin `ledger`, sorted by id, and how many of them must (`threshold`).

    `previous` is the digest of the policy that this one replaces; None for the first.
    """

    ledger: str
    threshold: int
    signers: tuple[PublicKey, ...]
    previous: str | None

    def payload(self) -> bytes:
        """Return the policy as canonical JSON (RFC 8785), the bytes that are signed."""
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
        """SHA-256 digest of the signed bytes, which identifies the policy."""
        return digest_bytes(self.payload())

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the keys that may sign."""
        return frozenset(key.id for key in self.signers)

    def words(self) -> str:
        """Return how many of the policy's keys must sign, as text such as `2 of 3`."""
        return f"{self.threshold} of {len(self.signers)}"


@dataclass(frozen=True, slots=True)
class FacetEvent:
    """A policy or cosignature facet with the position of its event, not verified."""

    seq: int
    facet: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of a ledger, in order: (position of its event, policy) of each valid one, (position, expected, found) of each invalid one.

    The policy before an invalid one stays in force.
    """

    in_force: tuple[tuple[int, KeyPolicy], ...] = ()
    problems: tuple[tuple[int, str, str], ...] = ()

    @classmethod
    def read(cls, events: Iterable[FacetEvent], ledger: str, vouching: Sequence[PublicKey]) -> Policies:
        """Verify ledger `ledger`'s key policies in `events`; return valid and invalid ones. A valid policy is also signed by a key in `vouching`."""
        in_force: list[tuple[int, KeyPolicy]] = []
        problems: list[tuple[int, str, str]] = []
        for event in events:
            try:
                policy, opened = _read(event.facet)
            except (EnvelopeError, UsageError, AttributeError, KeyError, TypeError, ValueError) as error:
                problems.append((event.seq, "a signed policy in its one form", str(error)))
                continue
            before = in_force[-1][1] if in_force else None
            wrong = ("a policy for this ledger", policy.ledger) if policy.ledger != ledger else refusal(policy, opened, before, vouching)
            if wrong is None:
                in_force.append((event.seq, policy))
            else:
                problems.append((event.seq, *wrong))
        return cls(tuple(in_force), tuple(problems))

    def at(self, position: int) -> KeyPolicy | None:
        """Return the key policy in force just before a ledger position; None if none had been set."""
        return next((policy for seq, policy in reversed(self.in_force) if seq < position), None)

    @property
    def now(self) -> KeyPolicy | None:
        """The key policy in force at the end of the ledger; None if none was set."""
        return self.in_force[-1][1] if self.in_force else None


def refusal(policy: KeyPolicy, opened: Opened, before: KeyPolicy | None, vouching: Sequence[PublicKey]) -> tuple[str, str] | None:
    """Return texts (what is required, what was found) if a signed key policy may not replace the policy `before`; None if it may.

    The new policy must contain the digest of `before`, and be signed by as many of its keys as it requires and by a key in `vouching`.
    """
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
    """Return the short ids of keys as text ` (a, b)`, to append to their number; an empty string without keys."""
    names = ", ".join(short_id(key.id) for key in keys)
    return f" ({names})" if names else ""


def _read(facet: Mapping[str, Any]) -> tuple[KeyPolicy, Opened]:
    """Return (key policy, its DSSE envelope) of a facet `tracecore_key_policy`. Raises ValueError, KeyError or another error if it is malformed."""
    signers = tuple(PublicKey.from_pem(each["public_key"].encode(), "the policy") for each in facet["signers"])
    ids = [key.id for key in signers]
    threshold = facet["threshold"]
    if ids != sorted(set(ids)) or ids != [each["id"] for each in facet["signers"]]:
        raise ValueError("its signers are not listed by their ids, each once and in order")
    if type(threshold) is not int or not 1 <= threshold <= len(ids):
        raise ValueError(f"its threshold is {threshold!r} of {len(ids)} keys")
    opened = open_envelope(facet["envelope"])
    if opened.payload_type != POLICY_PAYLOAD:
        raise EnvelopeError(f"Expected a payload of type {POLICY_PAYLOAD}, found {opened.payload_type}.")
    from tracecore_lineage.events.parse import strict_json

    statement = strict_json(opened.payload)
    policy = KeyPolicy(str(statement["ledger"]), threshold, signers, facet.get("previous"))
    if policy.payload() != opened.payload:
        raise EnvelopeError("Expected the policy that the event names, found another in the envelope.")
    return policy, opened


@dataclass(frozen=True, slots=True)
class SealSignatures:
    """The keys with a valid signature over one build's payload, those on the seal itself first.

    `policy` is the one that the build was sealed under, if any; `problems` are (position, expected, found) of each invalid cosignature.
    """

    policy: KeyPolicy | None
    signed: tuple[PublicKey, ...]
    problems: tuple[tuple[int, str, str], ...] = ()

    @property
    def counted(self) -> tuple[PublicKey, ...]:
        """The keys that signed the build and are in its policy; empty without a policy."""
        return () if self.policy is None else tuple(key for key in self.signed if key.id in self.policy.ids)

    @property
    def enough(self) -> bool:
        """Whether at least the policy's required number of its keys signed the build; True without a policy."""
        return self.policy is None or len(self.counted) >= self.policy.threshold

    def words(self) -> str | None:
        """Return the required and found numbers of signatures as text; None without a policy."""
        if self.policy is None:
            return None
        return f"signatures: {self.policy.words()} required, {len(self.counted)} found"

    def document(self) -> dict[str, Any]:
        """Return policy and signatures as a JSON object; `required` (number) and `of` (key ids) are None without a policy."""
        policy = self.policy
        return {
            "required": None if policy is None else policy.threshold,
            "of": None if policy is None else [key.id for key in policy.signers],
            "signed": [key.id for key in self.signed],
            "counted": len(self.counted),
            "enough": self.enough,
        }


def signatures_of(
    ref: str, position: int, opened: Opened, cosignatures: Iterable[FacetEvent], policies: Policies, believed: Sequence[PublicKey]
) -> SealSignatures:
    """Verify the signatures over build `ref`, sealed at `position` by envelope `opened`, and return valid signers, policy and invalid cosignatures.

    A cosignature is valid if its key is in the policy that the build was sealed under, or in the one in force when the cosignature was recorded.

    Args:
        cosignatures: cosignatures of any builds, in ledger order.
        believed: keys trusted to sign the seal itself.
    """
    policy = policies.at(position)
    own = () if policy is None else policy.signers

    def allowed(seq: int) -> Sequence[PublicKey]:
        in_force = policies.at(seq)
        return own if in_force is None else (*own, *in_force.signers)

    cosigners, problems = _cosigners(ref, opened, cosignatures, allowed)
    signed = {key.id: key for key in (*opened.signers([*believed, *own]), *cosigners)}
    return SealSignatures(policy, tuple(signed.values()), tuple(problems))


def raw_signers(ref: str, opened: Opened, cosignatures: Iterable[FacetEvent], keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Return those of `keys` that validly signed a build, in its seal `opened` or by a cosignature, whether or not a key policy allows them."""
    candidates = list(keys)
    cosigners, _ = _cosigners(ref, opened, cosignatures, lambda _: candidates)
    return tuple({key.id: key for key in (*opened.signers(candidates), *cosigners)}.values())


def _cosigners(
    ref: str, opened: Opened, cosignatures: Iterable[FacetEvent], allowed: Callable[[int], Sequence[PublicKey]]
) -> tuple[list[PublicKey], list[tuple[int, str, str]]]:
    """Return (keys of a build's valid cosignatures in ledger order, (position, expected, found) of each invalid one).

    `allowed` returns the keys that may cosign at a ledger position.
    """
    keys: list[PublicKey] = []
    problems: list[tuple[int, str, str]] = []
    for event in (event for event in cosignatures if event.facet.get("build") == ref):
        try:
            keys.append(_valid(event.facet, opened, allowed(event.seq)))
        except (CheckpointError, UsageError, KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append((event.seq, "a signature over the build's payload by a key of the policy", str(error)))
    return keys, problems


def _valid(facet: Mapping[str, Any], opened: Opened, allowed: Sequence[PublicKey]) -> PublicKey:
    """Return the key of a valid cosignature. Raises ValueError, with the defect as text, if it is not valid; KeyError or others if malformed."""
    key = PublicKey.from_pem(facet["public_key"].encode(), "the event")
    if key.pem != facet["public_key"] or key.id != facet["key"]:
        raise ValueError(f"a public key that is not {short_id(str(facet['key']))}, which it names")
    if key.id not in {each.id for each in allowed}:
        raise ValueError(f"one by {short_id(key.id)}, which is not a key of the policy{short(allowed)}")
    signature = canonical_base64(facet["signature"])
    if Opened(opened.payload, opened.payload_type, ((key.id, signature),)).signed_by([key]) is None:
        raise ValueError(f"one by {short_id(key.id)} that is not valid")
    return key
