"""The pages on builds and refs are enough to implement them from, and match the code."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from markdown_pages import examples

from tracecore_lineage.crypto.envelope import open_envelope
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.seal.seal import content_digest, predicate_content, statement
from tracecore_schemas.canonical import jcs
from tracecore_schemas.refs import RefError, parse_ref


def test_the_build_example_verifies_by_the_page_alone() -> None:
    page = examples("docs/formats/build.md")
    envelope = json.loads(page["envelope"])
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    public = load_pem_public_key(page["public key"].encode() + b"\n")
    assert isinstance(public, Ed25519PublicKey)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    assert payload.decode() == page["statement"]
    assert page["ref"] == f"build/demo@{hashlib.sha256(payload).hexdigest()}"
    said = json.loads(payload)
    assert rfc8785.dumps(said) == payload
    content = json.loads(page["content"])
    assert page["content digest"] == "sha256:" + hashlib.sha256(rfc8785.dumps(content)).hexdigest() == said["predicate"]["content_digest"]
    assert content["artifacts"] == [{"role": entry["role"], "ref": entry["ref"]} for entry in said["predicate"]["artifacts"]]


def test_the_build_example_is_what_the_code_makes_and_takes() -> None:
    page = examples("docs/formats/build.md")
    predicate = json.loads(page["statement"])["predicate"]
    content = predicate_content(predicate)
    place = {member: predicate[member] for member in ("run", "ledger", "checkpoint", "sealed_at", "key")}
    assert jcs(statement(predicate["name"], content, place)).decode() == page["statement"]
    assert content_digest(content) == page["content digest"]
    key = PublicKey.from_pem(page["public key"].encode() + b"\n", "the page")
    assert open_envelope(json.loads(page["envelope"])).signed_by([key]) == key
    assert key.id == predicate["key"]


def test_each_ref_of_the_page_is_read_as_it_says_and_written_the_same_again() -> None:
    for line in examples("docs/formats/refs.md")["refs"].splitlines():
        text, kind, _, version = line.split("\t")
        ref = parse_ref(text)
        assert (ref.kind, ref.version or "-", str(ref)) == (kind, version, text)
        assert " ".join(ref.segments) == line.split("\t")[2]


def test_what_the_page_calls_no_ref_is_none() -> None:
    for text in examples("docs/formats/refs.md")["no refs"].splitlines():
        with pytest.raises(RefError, match="is not a valid ref"):
            parse_ref(text)
