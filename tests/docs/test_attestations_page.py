"""The pages on attestations, key policies and cosignatures are enough to implement them from, and match the code."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from markdown_pages import examples

from tracecore_lineage.crypto.envelope import open_envelope
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.crypto.policy import FacetEvent, Policies, signatures_of
from tracecore_lineage.seal.attestations import judge


def verified(envelope: dict[str, Any], pem: str, keyid: int = 0) -> bytes:
    """Verify a DSSE envelope by the specification only."""
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    public = load_pem_public_key(pem.strip().encode() + b"\n")
    assert isinstance(public, Ed25519PublicKey)
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public.verify(base64.b64decode(envelope["signatures"][keyid]["sig"]), signed)
    return payload


def test_the_attestations_verify_by_the_page_and_by_the_code() -> None:
    page = examples("docs/formats/attestations.md")
    envelopes = [json.loads(line) for line in page["file"].splitlines()]
    shown = [page["provenance"], page["test results"]]
    assert [verified(envelope, page["public key"]).decode() for envelope in envelopes] == shown
    statements = [json.loads(text) for text in shown]
    assert [rfc8785.dumps(statement).decode() for statement in statements] == shown
    assert [statement["predicateType"].rpartition("/")[0] for statement in statements] == [
        "https://slsa.dev/provenance",
        "https://in-toto.io/attestation/test-result",
    ]
    key = PublicKey.from_pem(page["public key"].encode() + b"\n", "the page")
    assert judge(envelopes, statements, [key]) == []


def test_the_attestations_are_about_the_build_of_the_other_page() -> None:
    build = json.loads(examples("docs/formats/build.md")["statement"])
    page = examples("docs/formats/attestations.md")
    provenance, results = json.loads(page["provenance"]), json.loads(page["test results"])
    assert provenance["subject"] == results["subject"] == build["subject"][1:]  # the program is among the dependencies
    assert provenance["predicate"]["buildDefinition"]["externalParameters"]["program"] == build["subject"][0]
    assert results["predicate"]["passedTests"] == ["no_leak"]
    assert results["predicate"]["warnedTests"] == ["recall.pedestrian.night"]
    assert results["predicate"]["result"] == "WARNED"


def test_the_policy_and_the_cosignature_verify_by_the_page_and_by_the_code() -> None:
    page = examples("docs/formats/build.md")
    envelope = json.loads(page["policy envelope"])
    assert verified(envelope, page["ledger key"]).decode() == page["policy"]
    said = json.loads(page["policy"])
    assert rfc8785.dumps(said).decode() == page["policy"]
    for signer in said["signers"]:
        der = base64.b64decode("".join(signer["public_key"].splitlines()[1:-1]))
        assert f"ed25519:{hashlib.sha256(der).hexdigest()}" == signer["id"]
    ledger_key = PublicKey.from_pem(page["ledger key"].encode() + b"\n", "the page")
    facet = {"threshold": said["threshold"], "signers": said["signers"], "envelope": envelope}
    policies = Policies.read([FacetEvent(0, facet)], said["ledger"], [ledger_key])
    assert policies.problems == ()

    cosignature = json.loads(page["cosignature"])
    seal = json.loads(page["envelope"])
    verified({**seal, "signatures": [{"sig": cosignature["signature"]}]}, cosignature["public_key"])
    found = signatures_of(page["ref"], 42, open_envelope(seal), [FacetEvent(50, cosignature)], policies, [])
    assert (found.words(), found.problems) == ("signatures: 2 of 2 required, 1 found", ())
