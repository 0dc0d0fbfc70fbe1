"""The Merkle tree is RFC 6962's: the reference implementation's vectors hold, and proofs prove what they should and nothing else."""

from __future__ import annotations

import pytest
from consistency_proofs import verify_consistency
from hypothesis import given
from hypothesis import strategies as st

from tracecore_lineage.crypto import merkle

# Test vectors of the certificate-transparency reference implementation (merkle tree tests of google/certificate-transparency).
LEAVES = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]

trees = st.integers(1, 70).map(lambda size: [merkle.leaf_hash(str(place).encode()) for place in range(size)])


def test_no_leaves_have_the_root_of_the_empty_string() -> None:
    assert merkle.root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 9))
def test_the_reference_roots_hold(size: int) -> None:
    assert merkle.root_of(HASHES[:size]).hex() == ROOTS[size - 1]


def test_the_reference_audit_path_holds() -> None:
    assert [step.hex() for step in merkle.inclusion_proof(HASHES, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]


@given(trees)
def test_a_frontier_stored_and_read_after_each_append_gives_the_root_of_the_whole_tree(leaves: list[bytes]) -> None:
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier = merkle.Frontier(frontier.size, list(frontier.hashes))
        frontier.append(leaf)
    assert frontier.root() == _by_definition(leaves)
    assert len(frontier.hashes) == len(leaves).bit_count()


def _by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return merkle.node_hash(_by_definition(leaves[:middle]), _by_definition(leaves[middle:]))


@given(trees, st.data())
def test_an_inclusion_proof_proves_its_leaf_at_its_place_alone(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle.root_of(leaves), merkle.inclusion_proof(leaves, index)
    assert merkle.verify_inclusion(leaves[index], index, len(leaves), proof, root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"other"), index, len(leaves), proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, len(leaves), [*proof, root], root)
    assert not merkle.verify_inclusion(leaves[index], len(leaves), len(leaves), proof, root)
    other = data.draw(st.integers(0, len(leaves) - 1).filter(lambda place: place != index or len(leaves) == 1))
    assert other == index or not merkle.verify_inclusion(leaves[index], other, len(leaves), proof, root)
    if proof:
        assert not merkle.verify_inclusion(leaves[index], index, len(leaves), proof[:-1], root)


@given(trees, st.data())
def test_a_consistency_proof_proves_that_the_old_tree_is_a_prefix(leaves: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(leaves)))
    old, new, proof = merkle.root_of(leaves[:size]), merkle.root_of(leaves), merkle.consistency_proof(leaves, size)
    assert verify_consistency(size, len(leaves), proof, old, new)
    if 0 < size < len(leaves):
        rewritten = [merkle.leaf_hash(b"rewritten"), *leaves[1:size]]
        assert not verify_consistency(size, len(leaves), proof, merkle.root_of(rewritten), new)
        assert not verify_consistency(size, len(leaves), [*proof, new], old, new)
        assert not verify_consistency(size, len(leaves), [], old, new)


def test_a_frontier_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected 2 subtree hashes for a tree of 3 leaves, found 1"):
        merkle.Frontier(3, [b"x" * 32])


def test_a_proof_beyond_the_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="leaf index below 8, found 8"):
        merkle.inclusion_proof(HASHES, 8)
    with pytest.raises(ValueError, match="old size of at most 8, found 9"):
        merkle.consistency_proof(HASHES, 9)
