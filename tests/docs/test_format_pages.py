"""What docs/formats says is enough to implement each format from, and is what the code does."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jsonschema import Draft202012Validator
from markdown_pages import ROOT, examples
from openlineage_data import CONTRACTS

from tracecore.store.delta_log import link
from tracecore.store.local import LocalStore
from tracecore.store.manifest import DeltaFile, delta_manifest, directory_manifest, scan_directory
from tracecore.workspace import Workspace
from tracecore_lineage.bundle.container import ContainerWriter
from tracecore_lineage.bundle.manifest import read_manifest, read_signatures
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.tombstones import read_erasure, statement
from tracecore_lineage.crypto import merkle, notes
from tracecore_lineage.crypto.envelope import open_envelope
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.events.parse import parse_event
from tracecore_lineage.ledger import blocks, ledger, proofs, pruned_tree
from tracecore_schemas.canonical import digest_bytes, digest_json, jcs

_SEEDS = ("ledger key", "signer 1", "signer 2")


def test_the_directory_example_is_what_the_code_makes_of_such_a_directory(tmp_path: Path) -> None:
    page = examples("docs/formats/digests.md")
    (tmp_path / "weights").mkdir()
    (tmp_path / "config.json").write_bytes(b'{"classes":["car"]}\n')
    (tmp_path / "weights" / "model.bin").write_bytes(bytes(range(8)))
    made = directory_manifest(scan_directory(tmp_path))
    assert made.decode() == page["directory manifest"]
    assert digest_bytes(made) == page["directory digest"]


def test_the_delta_example_hashes_to_its_digest_by_the_page_and_by_the_code() -> None:
    page = examples("docs/formats/digests.md")
    manifest = json.loads(page["delta manifest"])
    assert "sha256:" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest() == page["delta digest"]
    files = [
        DeltaFile(file["sha256"], file["size"], file["rows"], tuple(file["partition"].items()), file["deletion_vector"])
        for file in reversed(manifest["files"])
    ]
    made = delta_manifest(manifest["schema"], manifest["partition_columns"], manifest["protocol"], manifest["configuration"], files)
    assert digest_bytes(made) == page["delta digest"] == digest_json(manifest)


def test_the_ledger_example_follows_from_the_page_and_is_what_the_code_computes() -> None:
    page = examples("docs/formats/ledger.md")
    rows = [line.split("\t") for line in page["leaves"].splitlines()]
    hashes = []
    for body, recorded_at, event_id, leaf in rows:
        assert hashlib.sha256(body.encode()).hexdigest() == event_id == ledger.event_id(body.encode())
        data = rfc8785.dumps({"v": 1, "recorded_at": recorded_at, "event_sha256": event_id})
        assert hashlib.sha256(b"\x00" + data).hexdigest() == leaf == ledger.leaf_hash(recorded_at, body.encode()).hex()
        hashes.append(bytes.fromhex(leaf))
    assert jcs(json.loads(page["leaf data"])).decode() == page["leaf data"] == ledger.leaf_data(rows[0][1], rows[0][2]).decode()
    by_hand = hashlib.sha256(b"\x01" + hashlib.sha256(b"\x01" + hashes[0] + hashes[1]).digest() + hashes[2]).hexdigest()
    assert by_hand == page["root"] == merkle.root_of(hashes).hex()


def test_the_checkpoint_example_verifies_by_the_page_and_by_the_code() -> None:
    page = examples("docs/formats/ledger.md")
    note = page["checkpoint"] + "\n"
    text, _, signature_line = note.rpartition("\n\n")
    origin, size, root = text.split("\n")
    dash, name, encoded = signature_line.split()
    assert (dash, name, int(size), base64.b64decode(root).hex()) == ("—", origin, 3, page["root"])
    public = load_pem_public_key(page["public key"].encode() + b"\n")
    assert isinstance(public, Ed25519PublicKey)
    signed = base64.b64decode(encoded)
    assert signed[:4] == hashlib.sha256(name.encode() + b"\n\x01" + public.public_bytes_raw()).digest()[:4]
    public.verify(signed[4:], (text + "\n").encode())

    key = PublicKey(public.public_bytes_raw())
    parsed = notes.parse(note)
    assert parsed.signed_by([key]) == key
    assert (parsed.size, parsed.root.hex()) == (3, page["root"])
    assert key.id == page["key id"]


def test_the_proof_example_proves_the_second_event_by_the_page_and_by_the_code() -> None:
    page = examples("docs/formats/ledger.md")
    body, recorded_at, event_id, leaf = page["leaves"].splitlines()[1].split("\t")
    proof, _, note = (page["proof"] + "\n").partition("\n\n")
    name, extra, index, *path = proof.split("\n")
    assert (name, index, note) == ("c2sp.org/tlog-proof@v1", "index 1", page["checkpoint"] + "\n")
    data = base64.b64decode(extra.removeprefix("extra "))
    assert json.loads(data) == {"v": 1, "recorded_at": recorded_at, "event_sha256": event_id}
    assert hashlib.sha256(body.encode()).hexdigest() == event_id
    assert hashlib.sha256(b"\x00" + data).hexdigest() == leaf
    first, third = (base64.b64decode(line) for line in path)
    left = hashlib.sha256(b"\x01" + first + bytes.fromhex(leaf)).digest()
    assert hashlib.sha256(b"\x01" + left + third).hexdigest() == page["root"]

    key = PublicKey.from_pem(page["public key"].encode() + b"\n", "the page")
    parsed = proofs.parse(page["proof"] + "\n")
    assert parsed.text == page["proof"] + "\n"
    assert parsed.signed_by([key]) == key


def test_the_content_of_a_block_is_what_the_page_says() -> None:
    content = bytes.fromhex(examples("docs/formats/ledger.md")["block content"])
    data, raw_size = blocks.pack([b"one", b"", b"three"])
    assert zstandard.ZstdDecompressor().decompress(data) == content
    assert blocks.unpack("zstd", zstandard.ZstdCompressor(level=19).compress(content), raw_size, 3) == [b"one", b"", b"three"]


def test_the_event_example_is_an_event_that_the_record_takes_and_projects() -> None:
    page = examples("docs/formats/events.md")
    body = jcs(json.loads(page["event"]))
    assert hashlib.sha256(body).hexdigest() == page["event id"]
    event = parse_event(body)
    assert (event.kind, event.type, event.run_id) == ("run", "COMPLETE", json.loads(body)["run"]["runId"])


def test_the_facets_of_the_event_example_keep_their_schemas() -> None:
    event = json.loads(examples("docs/formats/events.md")["event"])
    holders = [event["run"]["facets"], event["job"]["facets"]]
    holders += [dataset.get(part, {}) for dataset in event["inputs"] + event["outputs"] for part in ("facets", "inputFacets", "outputFacets")]
    ours = [(name, facet) for holder in holders for name, facet in holder.items() if name.startswith("tracecore_")]
    assert len(ours) > 5
    for name, facet in ours:
        schema = json.loads(CONTRACTS[name].read_text(encoding="utf-8"))
        assert [error.message for error in Draft202012Validator(schema).iter_errors(facet)] == []


def test_every_facet_schema_is_listed_in_the_page() -> None:
    text = (ROOT / "docs" / "formats" / "events.md").read_text(encoding="utf-8")
    assert [name for name in CONTRACTS if f"| `{name}` |" not in text] == []


def test_a_stored_tables_digest_follows_from_the_page_and_the_delta_protocol_alone(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    store = LocalStore(workspace)
    for number, drives in enumerate((["b", "a", "a"], ["c"])):
        rows = pa.table({"drive": drives, "frame_id": [f"f{n}" for n in range(len(drives))]})
        kept = store.put_table(store.stage_table(rows, run_id=f"r{number}", port="p"), kind="dataset", name="x y", run_id=f"r{number}")
        assert kept.delta is not None
        assert kept.delta.version == number
        table = workspace.store / "tables" / "dataset" / "x=20y"
        found: dict[str, dict[str, Any]] = {}
        stated: dict[str, Any] = {}
        last = None
        for version in range(number + 1):
            commit = (table / "_delta_log" / f"{version:020d}.json").read_bytes()
            said = {"previous": last, "version": version, "commit_sha256": hashlib.sha256(commit).hexdigest()}
            last = "sha256:" + hashlib.sha256(rfc8785.dumps(said)).hexdigest()
            actions = [json.loads(line) for line in commit.splitlines()]
            stated.update({kind: action[kind] for action in actions for kind in ("metaData", "protocol") if kind in action})
            for removed in (action["remove"]["path"] for action in actions if "remove" in action):
                del found[removed]
            for added in (action["add"] for action in actions if "add" in action):
                data = (table / added["path"]).read_bytes()
                found[added["path"]] = {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "rows": pq.read_metadata(table / added["path"]).num_rows,
                    "partition": added["partitionValues"],
                    "deletion_vector": None,
                }
        assert last == kept.delta.log
        manifest = {
            "v": 1,
            "type": "tracecore.delta",
            "schema": json.loads(stated["metaData"]["schemaString"]),
            "partition_columns": stated["metaData"]["partitionColumns"],
            "protocol": stated["protocol"],
            "configuration": stated["metaData"]["configuration"],
            "files": sorted(found.values(), key=lambda file: (file["sha256"], rfc8785.dumps(file["partition"]))),
        }
        assert "sha256:" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest() == kept.digest


def test_the_links_of_the_log_example_follow_from_the_page() -> None:
    lines = examples("docs/formats/digests.md")["log links"].splitlines()
    previous = None
    for version, (hashed, found) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        said = {"previous": previous, "version": version, "commit_sha256": hashlib.sha256((b"one\n", b"two\n")[version]).hexdigest()}
        assert rfc8785.dumps(said).decode() == hashed
        previous = "sha256:" + hashlib.sha256(hashed.encode()).hexdigest()
        assert found == previous == link(said["previous"], version, f"sha256:{said['commit_sha256']}")


def test_a_stored_directory_lies_where_the_page_says_with_its_manifest_beside(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    store = LocalStore(workspace)
    source = store.staging("r") / "out"
    source.mkdir()
    (source / "a.txt").write_text("a", encoding="utf-8")
    kept = store.put_directory(source, run_id="r")
    digits = kept.digest.removeprefix("sha256:")
    place = workspace.store / "trees" / digits[:2]
    assert (place / digits / "a.txt").read_text(encoding="utf-8") == "a"
    assert hashlib.sha256((place / f"{digits}.manifest.json").read_bytes()).hexdigest() == digits


def test_the_pruned_ledger_of_the_bundle_example_gives_the_ledger_examples_root() -> None:
    page, root = examples("docs/formats/bundle.md"), examples("docs/formats/ledger.md")["root"]
    parts = [json.loads(line) for line in page["tree"].splitlines()]
    assert [list(part) for part in parts] == [["hash", "level"], ["event_sha256", "recorded_at", "size"], ["hash", "level"]]
    event = page["events"].encode()
    assert (hashlib.sha256(event).hexdigest(), len(event)) == (parts[1]["event_sha256"], parts[1]["size"])
    data = rfc8785.dumps({"v": 1, "recorded_at": parts[1]["recorded_at"], "event_sha256": parts[1]["event_sha256"]})
    pair = hashlib.sha256(b"\x01" + bytes.fromhex(parts[0]["hash"]) + hashlib.sha256(b"\x00" + data).digest()).digest()
    assert hashlib.sha256(b"\x01" + pair + bytes.fromhex(parts[2]["hash"])).hexdigest() == root
    assert pruned_tree.fold(pruned_tree.read_parts(parts), ())[0].root().hex() == root


def test_the_manifest_of_the_bundle_example_is_signed_as_the_page_says_and_read_by_the_code() -> None:
    page = examples("docs/formats/bundle.md")
    data = page["manifest"].encode()
    said = json.loads(data)
    assert rfc8785.dumps(said) == data
    for entry, content in zip(said["entries"], (page["tree"] + "\n", page["events"]), strict=True):
        assert (entry["size"], entry["sha256"]) == (len(content.encode()), hashlib.sha256(content.encode()).hexdigest())
    kind = b"application/vnd.tracecore.bundle+json"
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(data), data)
    (signature,) = json.loads(page["signatures"])
    public = load_pem_public_key(said["keys"][signature["keyid"]].encode())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(base64.b64decode(signature["sig"]), signed)
    read = read_manifest(data, "the page")
    assert read.data == data
    assert read_signatures(data, page["signatures"].encode(), "the page").signed_by([PublicKey(public.public_bytes_raw())]) is not None


def test_the_container_of_the_bundle_example_is_what_the_code_writes(tmp_path: Path) -> None:
    page = examples("docs/formats/bundle.md")
    with (tmp_path / "x").open("wb+") as stream:
        writer = ContainerWriter(stream)
        writer.add("events", [page["events"].encode()])
        writer.close()
    assert (tmp_path / "x").read_bytes().hex() == page["container"].replace("\n", "")


def test_the_tombstone_example_follows_from_the_page_and_is_signed() -> None:
    page = examples("docs/formats/tombstone.md")
    opened = open_envelope(json.loads(page["envelope"]))
    key = PublicKey.from_pem(page["public key"].encode(), "the page")
    assert opened.payload.decode() == page["statement"]
    assert opened.signed_by([key]) == key
    erasure = read_erasure({"envelope": json.loads(page["envelope"])}, 0)
    assert jcs(statement(erasure, key.id)) == opened.payload
    assert [(gone.rows, gone.left is None) for gone in erasure.versions[1].files] == [(6, True)]
    assert [(gone.rows, gone.left is None) for gone in erasure.commits] == [(None, False)]


def test_the_pseudonym_of_the_page_is_what_the_page_says_and_what_the_code_makes() -> None:
    salt, name, pseudonym = examples("docs/formats/events.md")["pseudonym"].split("\t")
    committed = rfc8785.dumps({"v": 1, "type": "tracecore.person", "salt": salt, "name": name})
    assert pseudonym == f"person-{hashlib.sha256(committed).hexdigest()[:32]}" == pseudonyms.commitment(salt, name)
    assert json.loads(examples("docs/formats/build.md")["content"])["approver"] == pseudonym


def test_the_keys_of_the_examples_are_made_of_the_seeds_that_the_page_names() -> None:
    made = [Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"tracecore example {word}".encode()).digest()) for word in _SEEDS]
    ledger, *signers = [PublicKey(key.public_key().public_bytes_raw()) for key in made]
    policy = json.loads(examples("docs/formats/build.md")["policy"])
    assert [signer["public_key"] for signer in policy["signers"]] == [key.pem for key in sorted(signers, key=lambda key: key.id)]
    for page in ("ledger", "build", "attestations", "tombstone"):
        assert examples(f"docs/formats/{page}.md")["public key"] + "\n" == ledger.pem
