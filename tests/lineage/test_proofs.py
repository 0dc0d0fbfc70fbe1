"""Proofs hold for readers who have neither ledger nor our code, and nothing else than what was recorded can be proven."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from consistency_proofs import verify_consistency
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fresh_record import BEGUN
from sqlalchemy import text

from tracecore.commands.shell import cli
from tracecore.errors import NegativeVerdict, UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.crypto import merkle
from tracecore_lineage.crypto.notes import CheckpointError
from tracecore_lineage.ledger import ledger, proofs
from tracecore_lineage.ledger.proofs import consistency, inclusion

DATABASES = ("sqlite", "postgresql")


def foreign(number: int) -> dict[str, Any]:
    return {
        "eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "producer": "urn:etl", "schemaURL": "urn:etl:event",
        "run": {"runId": f"0199c1f4-8f0e-7a31-9c55-{number:012x}"}, "job": {"namespace": "etl", "name": "load"},
    }  # fmt: skip


def tree(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return [*path(m, leaves[:k]), tree(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), tree(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, word for word."""
    if m == len(leaves):
        return [] if whole else [tree(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), tree(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), tree(leaves[:k])]


def climb(leaf: bytes, index: int, size: int, hashes: list[bytes]) -> bytes:
    """The root that a path leads to, by the recursion of the definition turned around."""
    if size == 1:
        assert hashes == []
        return leaf
    k = 1
    while k * 2 < size:
        k *= 2
    *below, top = hashes
    if index < k:
        return hashlib.sha256(b"\x01" + climb(leaf, index, k, below) + top).digest()
    return hashlib.sha256(b"\x01" + top + climb(leaf, index - k, size - k, below)).digest()


def run(world: RecordWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--workspace", str(world.record.workspace.root)])


def test_every_event_is_proven_to_who_has_its_bytes_and_the_public_key_alone(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(37)])
    world.record.ingest([foreign(99)])
    public = Ed25519PublicKey.from_public_bytes(world.record.recorder.keys.ensure().raw)
    with world.record.database.read() as connection:
        events = list(ledger.read(connection))
        leaves = ledger.leaves(connection, len(events))
    for leaf in events:
        said = world.record.query(inclusion, leaf.event_id).text
        proof, _, note = said.partition("\n\n")
        name, extra, index, *lines = proof.split("\n")
        signed, _, signature = note.rpartition("\n\n")
        origin, size, root = signed.split("\n")
        data = base64.b64decode(extra.removeprefix("extra "))
        assert (name, index, origin, size) == ("c2sp.org/tlog-proof@v1", f"index {leaf.seq}", world.record.ledger.origin, str(BEGUN + 38))
        assert json.loads(data)["event_sha256"] == hashlib.sha256(leaf.body).hexdigest()
        hashes = [base64.b64decode(line) for line in lines]
        assert hashes == path(leaf.seq, leaves)
        assert climb(hashlib.sha256(b"\x00" + data).digest(), leaf.seq, BEGUN + 38, hashes) == base64.b64decode(root)
        public.verify(base64.b64decode(signature.split()[2])[4:], (signed + "\n").encode())


def test_the_ledger_at_every_size_is_proven_to_be_the_beginning_of_itself(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(21)])
    with world.record.database.read() as connection:
        leaves = ledger.leaves(connection, BEGUN + 21)
    for size in range(BEGUN + 22):
        proof = world.record.query(consistency, size)
        assert proof.old_root == tree(leaves[:size])
        assert list(proof.hashes) == (subproof(size, leaves, whole=True) if size else [])
        assert verify_consistency(size, BEGUN + 21, proof.hashes, proof.old_root, proof.head.root)
    with pytest.raises(UsageError, match="holds 23 events: expected an earlier size of at most that, found 24"):
        world.record.query(consistency, BEGUN + 22)


def test_a_proof_is_read_back_and_holds_for_nothing_else(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(9)])
    keys = world.record.recorder.keys.public_keys()
    proof = proofs.parse(world.record.query(inclusion, 4).text)
    assert proof.signed_by(keys) == keys[0]
    assert proofs.InclusionProof(5, proof.leaf_data, proof.hashes, proof.note).signed_by(keys) is None
    assert proofs.InclusionProof(4, proof.leaf_data + b" ", proof.hashes, proof.note).signed_by(keys) is None
    assert proofs.InclusionProof(4, proof.leaf_data, proof.hashes[:-1], proof.note).signed_by(keys) is None
    assert proof.signed_by([]) is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2", "Expected a proof: the line 'c2sp.org/tlog-proof@v1'"),
        ("index 4", "index 04", "'index' with its position"),
        ("extra ", "more ", "Expected 'extra'"),
        ("\n\ntracecore", "\ntracecore", "Expected"),
    ],
)
def test_what_is_no_proof_is_refused_with_what_was_expected(world: RecordWorld, old: str, new: str, why: str) -> None:
    world.record.ingest([foreign(number) for number in range(9)])
    with pytest.raises(CheckpointError, match=why):
        proofs.parse(world.record.query(inclusion, 4).text.replace(old, new))


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ("11", "There is no event at position 11: the ledger holds 11 events"),
        ("0" * 63 + "a", "The ledger holds no event 000000000000…"),
        ("drive_log/north", "names no event: expected its id, 64 hexadecimal digits"),
    ],
)
def test_an_event_that_is_not_there_is_one_sentence(world: RecordWorld, event: str, why: str) -> None:
    world.record.ingest([foreign(number) for number in range(9)])
    result = run(world, "checkpoint", "--prove", event)
    assert result.exit_code == 2
    assert why in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_is_proven_of_a_ledger_that_was_changed(world: RecordWorld) -> None:
    world.record.ingest([foreign(number) for number in range(9)])
    with world.record.database.write() as connection:
        connection.execute(text("UPDATE ledger_event SET recorded_at = '2031-01-01T00:00:00.000000Z' WHERE seq = 3"))
    with pytest.raises(NegativeVerdict, match="nothing can be proven of it: run 'tracecore verify'"):
        world.record.query(inclusion, 5)
    with world.record.database.write() as connection:
        connection.execute(text("DELETE FROM ledger_event WHERE seq = 3"))
    with pytest.raises(NegativeVerdict, match="found 3 without a hole"):
        world.record.query(consistency, 2)


def test_the_command_writes_a_proof_and_compares_with_a_kept_checkpoint(world: RecordWorld, tmp_path: Path) -> None:
    world.record.ingest([foreign(number) for number in range(5)])
    kept, proof = tmp_path / "kept", tmp_path / "event.tlog-proof"
    assert run(world, "checkpoint", "-o", str(kept)).exit_code == 0
    world.record.ingest([foreign(number) for number in range(5, 9)])
    assert run(world, "checkpoint", "--prove", "2", "-o", str(proof)).exit_code == 0
    assert proofs.parse(proof.read_text(encoding="utf-8")) == world.record.query(inclusion, 2)
    told = json.loads(run(world, "checkpoint", "--prove", "2", "--json").stdout)
    assert (told["index"], told["size"], told["proof"]) == (2, BEGUN + 9, proof.read_text(encoding="utf-8"))

    good = run(world, "checkpoint", "--consistent-with", str(kept))
    assert (good.exit_code, "its first 7 events of 11 are those of" in good.stderr) == (0, True)
    told = json.loads(run(world, "checkpoint", "--consistent-with", str(kept), "--json").stdout)
    hashes = [bytes.fromhex(value) for value in told["hashes"]]
    assert verify_consistency(BEGUN + 5, BEGUN + 9, hashes, bytes.fromhex(told["old"]["root"]), bytes.fromhex(told["new"]["root"]))
    assert run(world, "checkpoint", "--consistent-with", str(kept), "--prove", "1").exit_code == 2
    assert "can't be read: no such file" in run(world, "checkpoint", "--consistent-with", str(tmp_path / "none")).stderr


def test_a_ledger_that_is_another_than_the_kept_checkpoint_says_is_answered_with_no(world: RecordWorld, tmp_path: Path) -> None:
    world.record.ingest([foreign(number) for number in range(5)])
    from tracecore_lineage.crypto import notes

    def asked(origin: str, size: int, root: bytes) -> str:
        kept = tmp_path / "kept"
        kept.write_text(notes.sign(world.record.recorder.keys.private(), origin, size, root), encoding="utf-8")
        result = run(world, "checkpoint", "--consistent-with", str(kept))
        assert result.exit_code == 1
        return result.stderr

    root = notes.parse(world.record.recorder.checkpoint()).root
    assert "its first 7 events are others" in asked(world.record.ledger.origin, 7, bytes(32))
    assert ": it holds 7 events, and held 8 then" in asked(world.record.ledger.origin, 8, root)
    assert "it is of another ledger" in asked("tracecore/elsewhere", 7, root)
    kept = tmp_path / "kept"
    kept.write_text(world.record.recorder.checkpoint().replace("\n7\n", "\n6\n"), encoding="utf-8")
    assert "no key of this workspace signed it" in run(world, "checkpoint", "--consistent-with", str(kept)).stderr


def test_proofs_over_a_hundred_thousand_leaves_take_one_pass() -> None:
    leaves = [index.to_bytes(32, "big") for index in range(100_000)]
    began = time.process_time()
    root = merkle.root_of(leaves)
    once = time.process_time() - began
    began = time.process_time()
    proof = merkle.inclusion_proof(leaves, 77_777)
    consistent = merkle.consistency_proof(leaves, 99_999)
    assert time.process_time() - began < 4 * once + 0.5
    assert merkle.verify_inclusion(leaves[77_777], 77_777, 100_000, proof, root)
    assert verify_consistency(99_999, 100_000, consistent, merkle.root_of(leaves[:99_999]), root)
