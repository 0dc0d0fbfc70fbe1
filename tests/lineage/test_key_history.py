"""Old keys verify old seals for ever: through rotations, a lost private key, and damage in the keys folder that verify names.

Modules: `verify/trust.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.retention.recover import recover
from tracecore_lineage.seal.key_events import rotate_key


class Rotated(RecordWorld):
    """A record in which three keys followed the first: `a` sealed one build, `c` another, and `b`'s private part was lost before `c` came."""

    keys: list[PublicKey]

    def live(self) -> Rotated:
        record = self.record
        self.keys = [record.recorder.keys.ensure()]
        self.all().seal("by-a")
        self.keys.append(rotate_key(record.recorder))
        self.train("by b")
        self.seal("by-b")
        (record.workspace.keys / f"{self.keys[1].file_name}.pem").unlink()
        again = Record.open(record.workspace)
        record.close()
        self.record = again
        self.keys.append(rotate_key(again.recorder))
        self.train("by c")
        self.seal("by-c")
        self.keys.append(rotate_key(again.recorder))
        self.train("by d")
        self.seal("by-d")
        return self


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Rotated:
    """Made once; each test works on a copy."""
    made = Rotated.at(tmp_path_factory.mktemp("pristine") / "workspace")
    assert isinstance(made, Rotated)
    made.live().record.close()
    return made


@pytest.fixture
def rotated(pristine: Rotated, tmp_path: Path) -> Iterator[Rotated]:
    shutil.copytree(pristine.record.workspace.root, tmp_path / "workspace")
    made = Rotated(Record.open(tmp_path / "workspace"))
    made.keys = pristine.keys
    yield made
    made.record.close()


def named(world: RecordWorld, ref: str | None = None, key: Path | None = None) -> set[tuple[str, str]]:
    """What a verification names; these artifacts have no bytes."""
    failures = world.record.verify(ref, key=key)["failures"]
    return {(each["ref"], each["what"]) for each in failures if each["ref"].startswith(("build/", "keys/", "ledger/"))}


def pub(world: Rotated, number: int) -> Path:
    return world.record.workspace.keys / f"{world.keys[number].file_name}.pub"


def test_after_three_rotations_and_a_lost_private_key_every_seal_still_verifies(rotated: Rotated) -> None:
    assert named(rotated) == set()
    for name in ("by-a", "by-b", "by-c", "by-d"):
        assert named(rotated, f"build/{name}") == set()


def test_the_newest_key_pinned_vouches_for_all_before_it_through_the_ledger(rotated: Rotated) -> None:
    assert named(rotated, key=pub(rotated, 3)) == set()


def test_a_key_that_was_lost_vouches_for_nothing_after_it(rotated: Rotated) -> None:
    failed = named(rotated, key=pub(rotated, 0))
    assert ("build/by-c", "signature") in failed
    assert {ref for ref, _ in failed} >= {"build/by-c", "build/by-d", "ledger/head"}
    assert not {ref for ref, _ in failed} & {"build/by-a", "build/by-b"}  # it signed b's coming itself


def test_a_public_key_that_left_the_folder_is_named_and_read_from_the_ledger(rotated: Rotated) -> None:
    pub(rotated, 1).unlink()
    assert named(rotated) == {(f"keys/{rotated.keys[1].file_name}.pub", "a public key that the ledger names")}


@pytest.mark.parametrize("place", [0, 40, 90, -2, -1])
def test_a_flipped_bit_in_a_public_or_private_key_is_named(rotated: Rotated, place: int) -> None:
    for path in (pub(rotated, 2), pub(rotated, 3).with_suffix(".pem")):
        kept = path.read_bytes()
        data = bytearray(kept)
        data[place] ^= 1
        path.write_bytes(data)
        assert f"keys/{path.name}" in {ref for ref, _ in named(rotated)}
        path.write_bytes(kept)
    assert named(rotated) == set()


@pytest.mark.parametrize("text", ["older", "0" * 64 + "\n", "", "\x80"])
def test_an_active_key_that_is_not_the_last_of_the_ledger_is_named(rotated: Rotated, text: str) -> None:
    active = rotated.record.workspace.keys / "active"
    active.write_bytes(f"{rotated.keys[0].id}\n".encode() if text == "older" else text.encode("latin-1"))
    assert ("keys/active", "the key that signs") in named(rotated)


def test_an_active_file_that_is_no_text_is_said_when_something_is_to_be_signed(rotated: Rotated) -> None:
    (rotated.record.workspace.keys / "active").write_bytes(b"\x80\n")
    with pytest.raises(UsageError, match=r"active is damaged: expected the id of the key that signs; restore it, or"):
        rotated.record.recorder.keys.active_id()


def test_a_rotation_that_was_cut_short_is_finished_by_recover(rotated: Rotated) -> None:
    rotated.record.recorder.keys.activate(rotated.keys[2].id)  # as a crash leaves it between the event and the change
    assert ("keys/active", "the key that signs") in named(rotated)
    recover(rotated.record.recorder)
    assert rotated.record.recorder.keys.active_id() == rotated.keys[3].id
    assert named(rotated) == set()
