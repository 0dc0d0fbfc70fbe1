"""Who signed a build: the seal's own signature, and those that came later as events of the ledger; counted against the policy it was sealed under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore.errors import UsageError
from tracecore_lineage.checkpoint import CheckpointError, canonical_base64
from tracecore_lineage.sealing.envelope import Opened
from tracecore_lineage.sealing.keys import PublicKey, short_id
from tracecore_lineage.sealing.policy import KeyPolicy, Policies, short

__all__ = ["CosignEvent", "SealSignatures", "raw_signers", "signatures_of"]


@dataclass(frozen=True, slots=True)
class CosignEvent:
    """A cosignature as an event says it; nothing in it is believed yet."""

    seq: int
    facet: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SealSignatures:
    """The valid signatures over one build's payload.

    Attributes:
        policy: the policy that the build was sealed under, where there was one.
        signed: every key that signed, the seal's own first, each once.
        problems: (position, what was expected, what was found) of each cosignature that is none.
    """

    policy: KeyPolicy | None
    signed: tuple[PublicKey, ...]
    problems: tuple[tuple[int, str, str], ...] = ()

    @property
    def counted(self) -> tuple[PublicKey, ...]:
        """Those of the keys that signed which the policy names."""
        return () if self.policy is None else tuple(key for key in self.signed if key.id in self.policy.ids)

    @property
    def enough(self) -> bool:
        """Whether as many keys signed as the policy asks for; true where there is none."""
        return self.policy is None or len(self.counted) >= self.policy.threshold

    def words(self) -> str | None:
        """Say how many have signed of how many; None where no policy asks for any."""
        if self.policy is None:
            return None
        return f"signatures: {self.policy.words()} required, {len(self.counted)} found"

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        policy = self.policy
        return {
            "required": None if policy is None else policy.threshold,
            "of": None if policy is None else [key.id for key in policy.signers],
            "signed": [key.id for key in self.signed],
            "counted": len(self.counted),
            "enough": self.enough,
        }


def signatures_of(
    ref: str, position: int, opened: Opened, cosignatures: Iterable[CosignEvent], policies: Policies, believed: Sequence[PublicKey]
) -> SealSignatures:
    """Judge every signature over a build's payload.

    A cosignature counts where its key stands in the policy that the build was sealed under, or in the one in force when it was given.

    Args:
        ref: the build's whole ref.
        position: of the event that sealed it.
        opened: its envelope.
        cosignatures: of any build, in the ledger's order.
        policies: of the ledger.
        believed: keys whose signature of the seal itself is taken.
    """
    policy = policies.at(position)
    signed = {key.id: key for key in opened.signers([*believed, *(policy.signers if policy is not None else ())])}
    problems: list[tuple[int, str, str]] = []
    for event in cosignatures:
        if event.facet.get("build") != ref:
            continue
        allowed = [*(policy.signers if policy is not None else ()), *_signers(policies.at(event.seq))]
        try:
            key = _valid(event.facet, opened, allowed)
        except (CheckpointError, UsageError, KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append((event.seq, "a signature over the build's payload by a key of the policy", str(error)))
        else:
            signed.setdefault(key.id, key)
    return SealSignatures(policy, tuple(signed.values()), tuple(problems))


def raw_signers(ref: str, opened: Opened, cosignatures: Iterable[CosignEvent], keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Give every one of the keys that signed a build's payload, whatever any policy says of them.

    Args:
        ref: the build's whole ref.
        opened: its envelope.
        cosignatures: of any build.
        keys: those that are asked about.
    """
    asked = {key.id: key for key in keys}
    found = {key.id: key for key in opened.signers(asked.values())}
    for event in cosignatures:
        if event.facet.get("build") != ref:
            continue
        try:
            if event.facet["key"] in asked:
                key = _valid(event.facet, opened, list(asked.values()))
                found.setdefault(key.id, key)
        except (CheckpointError, UsageError, KeyError, TypeError, ValueError, AttributeError):
            continue  # named where the signatures are checked
    return tuple(found.values())


def _signers(policy: KeyPolicy | None) -> tuple[PublicKey, ...]:
    return () if policy is None else policy.signers


def _valid(facet: Mapping[str, Any], opened: Opened, allowed: Sequence[PublicKey]) -> PublicKey:
    """Give the key of a valid cosignature.

    Raises:
        ValueError: it is none; the message says what was found.
    """
    key = PublicKey.from_pem(facet["public_key"].encode(), "the event")
    if key.pem != facet["public_key"] or key.id != facet["key"]:
        raise ValueError(f"a public key that is not {short_id(str(facet['key']))}, which it names")
    if key.id not in {each.id for each in allowed}:
        raise ValueError(f"one by {short_id(key.id)}, which is no key of the policy{short(allowed)}")
    signature = canonical_base64(facet["signature"])
    if Opened(opened.payload, opened.payload_type, ((key.id, signature),)).signed_by([key]) is None:
        raise ValueError(f"one by {short_id(key.id)} that is not valid")
    return key
