"""The tree is RFC 6962's, grown one leaf at a time."""

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.audit.merkle import (
    Frontier,
    Node,
    consistency_proof,
    grown,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    root_over,
)
from schemas.audit.nodes import completed, count_of, frontier_at, place_of
from tests.schemas.audit.logs import entries_of


def root_of(leaves: list[bytes]) -> bytes:
    """Follow RFC 6962, section 2.1, word by word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + root_of(leaves[:split]) + root_of(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=3), max_size=70))
def test_every_size_has_the_root_of_the_definition(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for size, leaf in enumerate(leaves, start=1):
        frontier = frontier.appended(leaf_hash(leaf))
        assert frontier.size == size
        assert len(frontier.hashes) == size.bit_count()
    assert frontier == grown(leaves)
    assert frontier.root() == root_of(leaves)


@given(
    st.lists(st.binary(max_size=2), max_size=9),
    st.lists(st.binary(max_size=2), max_size=9),
)
def test_other_leaves_or_another_order_have_another_root(
    one: list[bytes], other: list[bytes]
) -> None:
    assert (grown(one).root() == grown(other).root()) == (one == other)


def test_growing_leaves_the_smaller_tree_as_it_was() -> None:
    small = grown([b"a", b"b", b"c"])
    root = small.root()
    small.appended(leaf_hash(b"d"))
    assert small.root() == root == grown([b"a", b"b", b"c"]).root()


def test_a_leaf_is_never_taken_for_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert grown([left + right]).root() != grown([b"a", b"b"]).root() == node_hash(left, right)


def test_the_published_roots_and_leaf_hashes_are_found(shared_vectors: Path) -> None:
    table = json.loads((shared_vectors / "rfc6962-known-roots.json").read_text(encoding="utf-8"))
    leaves = [bytes.fromhex(one) for one in table["leaf_inputs_hex"]]
    assert [leaf_hash(one).hex() for one in leaves] == table["leaf_hashes_hex"]
    for size, root in enumerate(table["roots_by_size_hex"]):
        assert grown(leaves[:size]).root().hex() == root
    assert node_hash(b"N123", b"N456").hex() == table["node_N123_N456"]


def node_of(leaves: list[bytes]) -> Node:
    def node(level: int, index: int) -> bytes:
        return root_of(leaves[index << level : (index + 1) << level])

    return node


@given(st.lists(st.binary(max_size=2), min_size=1, max_size=40), st.data())
def test_every_proof_that_is_made_verifies_and_no_other_leaf_or_root_does(
    leaves: list[bytes], data: st.DataObject
) -> None:
    size, node = len(leaves), node_of(leaves)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    root = root_of(leaves)
    proof = inclusion_proof(index, size, node)
    leaf = leaf_hash(leaves[index])
    assert is_included(leaf, index, size=size, root=root, proof=proof)
    assert not is_included(leaf_hash(b"other"), index, size=size, root=root, proof=proof)
    assert not is_included(leaf, index, size=size, root=leaf_hash(b"other"), proof=proof)
    assert not is_included(leaf, index, size=size, root=root, proof=[*proof, leaf])
    shown = consistency_proof(old, size, node)
    before = (old, root_of(leaves[:old]))
    assert is_consistent(before, (size, root), shown)
    assert not is_consistent((old, leaf_hash(b"other")), (size, root), shown)
    assert not is_consistent(before, (size, leaf_hash(b"other")), shown)
    assert not is_consistent(before, (size, root), [*shown, leaf])


def decoded(values: list[str] | None) -> list[bytes]:
    return [base64.b64decode(one) for one in values or []]


def cases(folder: Path, kind: str) -> list[dict[str, Any]]:
    paths = (folder / "transparency-dev-merkle" / "testdata" / kind).rglob("*.json")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(paths)]
    assert len(found) == 98
    return found


def test_the_published_inclusion_cases_are_decided_as_they_should_be(shared_vectors: Path) -> None:
    for case in cases(shared_vectors, "inclusion"):
        leaf, root = decoded([case["leafHash"] or "", case["root"] or ""])
        proof = decoded(case["proof"])
        found = is_included(leaf, case["leafIdx"], size=case["treeSize"], root=root, proof=proof)
        assert found != case["wantErr"], case["desc"]


def test_the_published_consistency_cases_are_decided_as_they_should_be(
    shared_vectors: Path,
) -> None:
    for case in cases(shared_vectors, "consistency"):
        old, new = decoded([case["root1"] or "", case["root2"] or ""])
        proof = decoded(case["proof"])
        found = is_consistent((case["size1"], old), (case["size2"], new), proof)
        assert found != case["wantErr"], case["desc"]


def test_every_proof_of_a_real_log_is_made_and_verified(shared_vectors: Path) -> None:
    entries = entries_of(shared_vectors / "tessera-log" / "testdata" / "log", 15)
    node = node_of(entries)
    roots = [root_of(entries[:size]) for size in range(16)]
    seen = 0
    for size in range(1, 16):
        for index in range(size):
            proof = inclusion_proof(index, size, node)
            leaf = leaf_hash(entries[index])
            assert is_included(leaf, index, size=size, root=roots[size], proof=proof)
        for old in range(1, size + 1):
            shown = consistency_proof(old, size, node)
            assert is_consistent((old, roots[old]), (size, roots[size]), shown)
            seen += 1
    assert seen == 120


@given(st.integers(1, 300))
def test_stored_nodes_stand_where_they_are_looked_for(size: int) -> None:
    leaves = [str(one).encode() for one in range(size)]
    frontier, stored = Frontier(), b""
    for leaf in leaves:
        stored += completed(frontier, leaf_hash(leaf))
        frontier = frontier.appended(leaf_hash(leaf))
    assert len(stored) == 32 * count_of(size)

    def node(level: int, index: int) -> bytes:
        place = 32 * place_of(level, index)
        return stored[place : place + 32]

    assert frontier_at(size, node) == frontier
    assert root_over(0, size, node) == frontier.root()
