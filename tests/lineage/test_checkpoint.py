"""A checkpoint is a C2SP signed note that other tools can check, and that has exactly one form."""

from __future__ import annotations

import base64

import pytest

from tracecore_lineage.crypto import notes
from tracecore_lineage.crypto.keys import PrivateKey, PublicKey

ROOT = bytes(range(32))


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate()


def test_a_note_says_origin_size_and_root_and_is_signed_over_them(key: PrivateKey) -> None:
    note = notes.sign(key, "tracecore/world", 17, ROOT)
    lines = note.split("\n")
    assert lines[:4] == ["tracecore/world", "17", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith("— tracecore/world ")
    assert lines[5:] == [""]
    parsed = notes.parse(note)
    assert (parsed.origin, parsed.size, parsed.root) == ("tracecore/world", 17, ROOT)
    assert parsed.signed_by([PrivateKey.generate().public, key.public]) == key.public


def test_the_signed_note_of_the_go_reference_verifies() -> None:
    """Text, key and signature of golang.org/x/mod/sumdb/note's documentation."""
    encoded_key = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = base64.b64decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
    line = notes.Signature("PeterNeumann", signature[:4], signature[4:])
    note = notes.Checkpoint("PeterNeumann", 0, b"", text, (line,))
    assert note.signed_by([PublicKey(encoded_key[1:])]) is not None


def test_a_changed_size_or_a_strange_key_is_not_signed(key: PrivateKey) -> None:
    note = notes.sign(key, "tracecore/world", 17, ROOT)
    assert notes.parse(note.replace("\n17\n", "\n18\n")).signed_by([key.public]) is None
    assert notes.parse(note).signed_by([PrivateKey.generate().public]) is None
    assert notes.parse(note.replace("tracecore/world", "tracecore/other")).signed_by([key.public]) is None


def test_base64_that_stands_for_the_same_bytes_in_another_way_is_refused(key: PrivateKey) -> None:
    assert base64.b64decode("BQ==") == base64.b64decode("BR==")
    with pytest.raises(notes.CheckpointError, match="canonical"):
        notes.canonical_base64("BR==")
    note = notes.sign(key, "tracecore/world", 17, ROOT)
    text = base64.b64encode(ROOT).decode()
    other = text[:-2] + chr(ord(text[-2]) + 1) + "="
    assert base64.b64decode(other) == ROOT
    with pytest.raises(notes.CheckpointError, match="another text encodes the same bytes"):
        notes.parse(note.replace(text, other))


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("", "Expected a signed note"),
        ("a\n1\nAAAA\n", "Expected a signed note"),
        ("a\n01\nAAAA\n\n— a AAAA\n", "decimal number"),
        ("a\n-1\nAAAA\n\n— a AAAA\n", "decimal number"),
        ("a\n1\nAAAA\n\n— a AAAA\n", "root of 32 bytes"),
        ("a\n1\n!!\n\n— a AAAA\n", "base64"),
        (f"a\n1\n{base64.b64encode(ROOT).decode()}\n\n— a AAAA", "end with a newline"),
        (f"a\n1\n{base64.b64encode(ROOT).decode()}\n\n- a AAAA\n", "signature line"),
        (f"a\n1\n{base64.b64encode(ROOT).decode()}\n\n— a AAAA\n", "4 bytes of key hash"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_what_was_expected(note: str, why: str) -> None:
    with pytest.raises(notes.CheckpointError, match=why):
        notes.parse(note)
