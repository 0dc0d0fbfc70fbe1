"""A share of the flipped bits: each is named; and the judge notices a verification that leaves one of its comparisons out."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from flip_targets import Target, checkpoint_bits, targets
from flips import Flips, judge, try_flip, verdict_of
from small_record import SmallRecord, make_small_record

from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.crypto.notes import CheckpointError, parse

VERIFY = "tracecore_lineage.verify.verify"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallRecord:
    return make_small_record(tmp_path_factory.mktemp("flips"))


@pytest.fixture(scope="module")
def classes(made: SmallRecord) -> dict[str, Target]:
    return {target.name: target for target in targets(made.root)}


def test_a_share_of_the_flips_is_named_each_by_its_own_name(made: SmallRecord, classes: dict[str, Target], tmp_path: Path) -> None:
    first: dict[str, int] = {}  # every column of the ledger's tables, one of each table of the catalog, and one of everything else
    for number, name in enumerate(classes):
        first.setdefault(name.partition(".")[0] if name.startswith("catalog") else name, number)
    with Flips(lambda _: made).trials(tmp_path) as attempt:
        trials = [attempt(number) for number in (*first.values(), len(classes))]
    assert [why for trial in trials for why in trial.broken] == []
    met = {name for trial in trials for name in trial.counts}
    stored = {"blob", "source file", "directory", "directory manifest", "delta log", "parquet data", "parquet footer"}
    tables = {
        "ledger_event",
        "ledger_block",
        "ledger_head",
        "person",
        *(f"catalog_{name}" for name in ("build", "check", "edge", "facet", "run_event", "staleness")),
    }
    own = {"public key", "private key", "active key", "workspace file", "envelope", "checkpoint"}
    assert met == {"bits", *(f"of {name}" for name in stored | tables | own)}


def test_every_bit_of_a_checkpoint_makes_it_unreadable_or_signed_by_nobody(made: SmallRecord) -> None:
    key = PublicKey.from_pem(made.key.read_bytes(), "the owner's key")
    bits = checkpoint_bits(made.checkpoint)
    assert len(bits) == 8 * made.checkpoint.stat().st_size
    assert parse(made.checkpoint.read_text(encoding="utf-8")).signed_by([key]) == key
    for flip in bits:
        with flip.flipped():
            try:
                note = parse(made.checkpoint.read_text(encoding="utf-8"))
            except (CheckpointError, UnicodeDecodeError):
                continue
            assert note.signed_by([key]) is None, flip.named


def nothing(*_: Any, **__: Any) -> None:
    """A comparison that was taken out."""


@pytest.mark.parametrize(
    ("left_out", "target"),
    [
        (f"{VERIFY}.check_content", "blob"),
        (f"{VERIFY}.check_content", "directory manifest"),
        (f"{VERIFY}.check_content", "delta log"),
        (f"{VERIFY}.check_content", "parquet footer"),
        ("tracecore_lineage.verify.history.History.report", "ledger_event.recorded_at"),
        ("tracecore_lineage.verify.history.History.report", "ledger_event.leaf_hash"),
        ("tracecore_lineage.verify.seals.LedgerVerifier.check_head", "ledger_head.frontier"),
        ("tracecore_lineage.verify.seals.LedgerVerifier.check_head", "ledger_head.checkpoint"),
        (f"{VERIFY}.check_own_files", "private key"),
        (f"{VERIFY}.check_own_files", "public key"),
        (f"{VERIFY}._check_catalog", "catalog_facet.value"),
        (f"{VERIFY}._check_catalog", "catalog_check.success"),
    ],
)
def test_a_verification_without_one_of_its_comparisons_is_found_out(
    made: SmallRecord, classes: dict[str, Target], monkeypatch: pytest.MonkeyPatch, left_out: str, target: str
) -> None:
    flip = classes[target].choose(Random(0))
    assert try_flip(made, flip, pinned=True) is None
    monkeypatch.setattr(left_out, nothing if "catalog" not in left_out else lambda *_: True)
    assert try_flip(made, flip, pinned=True) is not None
    monkeypatch.undo()
    assert verdict_of(made, pinned=True) == []


def test_a_failure_under_another_name_is_not_enough(made: SmallRecord, classes: dict[str, Target]) -> None:
    flip = classes["blob"].choose(Random(1))
    elsewhere = {"ref": "ledger/head", "what": "Merkle root", "expected": "one", "found": "another"}
    assert "not blobs/" in str(judge(flip, [elsewhere]))
    assert "all is well" in str(judge(flip, []))
    assert "does not name" in str(judge(flip, "Something is wrong."))
