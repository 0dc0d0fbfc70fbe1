"""Records that were written earlier are opened, answered and verified by today's code as they were then."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import lzma
import runpy
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tracecore.commands.shell import cli
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.seal.key_events import rotate_key
from tracecore_lineage.verify.bundle import verify_bundle

FIXTURES = Path(__file__).parents[1] / "fixtures"
ANSWERS: dict[str, tuple[str, ...]] = runpy.run_path(str(FIXTURES / "make.py"))["ANSWERS"]
KEYS = ("first", "second")
CHECKPOINTS = ("after_first", "at_the_end")


@pytest.fixture(scope="module", params=["files", "draft"])
def fixture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies: the workspace `small`, `first.bundle` and `expected`."""
    source, folder = FIXTURES / request.param, tmp_path_factory.mktemp(request.param)
    with tarfile.open(fileobj=io.BytesIO(unpacked(source / "workspace.tar.xz"))) as archive:
        archive.extractall(folder, filter="data")
    (folder / "small" / "keys").chmod(0o700)
    (folder / "first.bundle").write_bytes(unpacked(source / "first.bundle.xz"))
    (folder / "expected").symlink_to(source / "expected")
    return folder


def unpacked(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def asked(folder: Path, *question: str) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = CliRunner().invoke(cli, [*question, "--workspace", "small"])
    assert said.exit_code == 0, said.output
    return said.stdout_bytes


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_byte_for_byte_that_of_then(fixture: Path, answer: str) -> None:
    assert asked(fixture, *ANSWERS[answer]) == (fixture / "expected" / answer).read_bytes()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("ref", [None, "build/first", "build/second"])
def test_it_verifies_with_either_key_and_either_checkpoint(fixture: Path, key: str, checkpoint: str, ref: str | None) -> None:
    with Record.open(fixture / "small") as record:
        expected = fixture / "expected"
        verdict = record.verify(ref, key=expected / f"{key}.pub", checkpoint=expected / f"{checkpoint}.checkpoint")
    assert (verdict["ok"], verdict["key"], verdict["failures"]) == (True, "pinned", [])


@pytest.mark.parametrize("key", KEYS)
def test_its_bundle_verifies_alone_and_answers_the_same_trace(fixture: Path, key: str) -> None:
    verdict = verify_bundle(fixture / "first.bundle", key=fixture / "expected" / f"{key}.pub")
    assert (verdict["ok"], verdict["key"], verdict["failures"]) == (True, "pinned", [])
    then = json.loads((fixture / "expected" / "trace_first.json").read_bytes())
    assert {**json.loads(asked(fixture, "trace", "--bundle", "first.bundle", "--json")), "later": []} == {**then, "later": []}


def test_its_bundle_is_taken_over_into_a_new_workspace(fixture: Path, tmp_path: Path) -> None:
    with Record.open(Workspace.create(tmp_path / "other", slug="other")) as record:
        import_bundle(record.recorder, fixture / "first.bundle", key=[fixture / "expected" / "first.pub"])
        assert record.verify()["failures"] == []
        assert record.trace("build/first")["complete"] is True


def test_its_catalog_is_what_its_ledger_says_before_and_after_a_replay(fixture: Path) -> None:
    with Record.open(fixture / "small") as record:
        assert record.query(catalog_differences, record.ledger) == []
        rebuild_catalog(record.database, record.ledger)
        assert record.query(catalog_differences, record.ledger) == []


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_its_checkpoints_sign_the_root_over_its_events_by_plain_arithmetic(checkpoint: str) -> None:
    """From docs/formats/ledger.md only: none of our code reads anything here."""
    expected = FIXTURES / "files" / "expected"
    text = (expected / f"{checkpoint}.checkpoint").read_text(encoding="utf-8")
    signed, _, signatures = text.partition("\n\n")
    origin, size, root = signed.split("\n")
    lines = [json.loads(line) for line in unpacked(FIXTURES / "files" / "events.ndjson.xz").splitlines()]
    assert base64.b64encode(tree([leaf(line) for line in lines[: int(size)]])).decode() == root
    begun = json.loads(base64.b64decode(lines[1]["body"]))  # the COMPLETE of the run that began the ledger
    ledger = begun["run"]["facets"]["tracecore_ledger"]
    assert (origin, begun["producer"]) == (f"tracecore/small/{ledger['ledger_id']}", f"urn:tracecore:ledger:{ledger['ledger_id']}")
    name, _, encoded = signatures.strip().removeprefix("\u2014 ").rpartition(" ")
    assert name == origin
    signature = base64.b64decode(encoded)[4:]
    public: Any = load_pem_public_key((expected / f"{'first' if checkpoint == 'after_first' else 'second'}.pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(signature, f"{signed}\n".encode())
    if checkpoint == "after_first":
        assert ledger["key_id"] == f"ed25519:{hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()}"


def leaf(line: Mapping[str, str]) -> bytes:
    event = hashlib.sha256(base64.b64decode(line["body"])).hexdigest()
    data = json.dumps({"event_sha256": event, "recorded_at": line["recorded_at"], "v": 1}, separators=(",", ":")).encode()
    return hashlib.sha256(b"\0" + data).digest()


def tree(leaves: list[bytes]) -> bytes:
    """RFC 6962's root."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + tree(leaves[:half]) + tree(leaves[half:])).digest()


def test_it_goes_on_in_a_copy(fixture: Path) -> None:
    """Last in this file: what is recorded now is after what was then, and the old checkpoints hold."""
    with Record.open(fixture / "small") as record:
        rotate_key(record.recorder)
        report_bug(record.recorder, "later", build="build/second", reporter="Grace Hopper")
        for checkpoint in CHECKPOINTS:
            verdict = record.verify(key=fixture / "expected" / "first.pub", checkpoint=fixture / "expected" / f"{checkpoint}.checkpoint")
            assert verdict["failures"] == []
