"""Whether enough keys signed: each build against the policy it was sealed under, and against the keys that the caller pinned."""

from __future__ import annotations

import json

from tracecore_lineage.sealing.envelope import EnvelopeError, open_envelope
from tracecore_lineage.sealing.policy import Policies, short
from tracecore_lineage.sealing.signatures import raw_signers, signatures_of
from tracecore_lineage.verification.findings import Findings
from tracecore_lineage.verification.history import History, SealEvent
from tracecore_lineage.verification.trust import Trust

__all__ = ["check_cosignatures", "check_policies", "check_signatures"]


def check_policies(history: History, origin: str, trust: Trust, bound: int | None, findings: Findings) -> Policies:
    """Judge every key policy, and name each below a position that is none; it never came into force."""
    policies = Policies.read(history.policies, origin, trust.keys)
    for seq, expected, found in policies.problems:
        if bound is None or seq < bound:
            findings.fail(f"event/{seq}", "key policy", expected, found)
    return policies


def check_cosignatures(history: History, findings: Findings) -> None:
    """Name each cosignature of a build that the ledger doesn't seal; those of its builds are judged with them."""
    sealed = {seal.build["ref"] for seal in history.seals}
    for event in history.cosignatures:
        build = event.facet.get("build")
        if not isinstance(build, str) or build not in sealed:  # an event may name anything, what can't be hashed too
            findings.fail(f"event/{event.seq}", "cosignature", "one of a build that the ledger seals", event.facet.get("build"))


def check_signatures(seal: SealEvent, history: History, policies: Policies, trust: Trust, findings: Findings) -> None:
    """Count the keys that signed a build: those of the policy that it was sealed under, and those that the caller pinned."""
    where, ref = f"build/{seal.build['name']}", str(seal.build["ref"])
    try:
        opened = open_envelope(json.loads(seal.build["envelope"]))
    except (EnvelopeError, ValueError):
        return  # named where the seal is checked
    found = signatures_of(ref, seal.seq, opened, history.cosignatures, policies, trust.keys)
    findings.checked["signatures"] += sum(event.facet.get("build") == ref for event in history.cosignatures)
    for seq, expected, given in found.problems:
        findings.fail(where, f"cosignature at event/{seq}", expected, given)
    if found.policy is not None and not found.enough:
        named = f"signatures by {found.policy.words()} keys of the policy{short(found.policy.signers)}"
        findings.fail(where, str(found.words()), named, f"{len(found.counted)}{short(found.counted)}")
    if trust.pins is None or (len(trust.pins.keys) == 1 and opened.signed_by(trust.keys) is None):
        return  # of one pinned key, its missing signature is named where the seal is checked
    tied = {identity for family in trust.families for identity in family}
    signed = raw_signers(ref, opened, history.cosignatures, [key for key in trust.keys if key.id in tied])
    counted = trust.counted(signed)
    if counted < trust.pins.threshold:
        of = f"{trust.pins.threshold} of {len(trust.pins.keys)}"
        findings.fail(
            where, f"signatures: {of} pinned keys required, {counted} found", f"signatures by {of} pinned keys", f"{counted}{short(signed)}"
        )
