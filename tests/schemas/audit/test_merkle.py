"""The tree is RFC 6962's, grown one leaf at a time."""

import json
from hashlib import sha256
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from schemas.audit.merkle import Frontier, grown, leaf_hash, node_hash


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
