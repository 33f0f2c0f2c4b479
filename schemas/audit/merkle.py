"""The RFC 6962 hash tree (section 2.1): grown one leaf at a time, and its two kinds of proof.

* A frontier holds one hash per set bit of the size: appending and taking the root cost O(log n).
* Proofs are made from the roots of perfect subtrees, wherever those are kept, and checked as in
  RFC 9162, sections 2.1.3.2 and 2.1.4.2.
* Only the standard library: a reviewer needs nothing else.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

_HASH_BYTES = 32

Node: TypeAlias = Callable[[int, int], bytes]
"""Given a level and an index, the root of the perfect subtree over leaves index·2^level and on."""


def leaf_hash(content: bytes) -> bytes:
    """Hash one leaf."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree's size and the roots of its perfect subtrees, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def appended(self, leaf: bytes) -> "Frontier":
        """Return the frontier after one more leaf hash."""
        hashes = [*self.hashes, leaf]
        size = self.size
        while size & 1:
            right, left = hashes.pop(), hashes.pop()
            hashes.append(node_hash(left, right))
            size >>= 1
        return Frontier(self.size + 1, tuple(hashes))

    def root(self) -> bytes:
        """Return the tree's root hash; that of no bytes when it is empty."""
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def grown(leaves: Iterable[bytes]) -> Frontier:
    """Return the frontier over these leaf contents."""
    frontier = Frontier()
    for content in leaves:
        frontier = frontier.appended(leaf_hash(content))
    return frontier


def root_over(first: int, end: int, node: Node) -> bytes:
    """Return the root over leaves `first` to `end`, which stand as they do in a whole tree."""
    width = end - first
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, first >> level)
    middle = first + _split(width)
    return node_hash(root_over(first, middle, node), root_over(middle, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Prove that a leaf stands in a tree of this size (RFC 6962, 2.1.1)."""
    first, end, proof = 0, size, list[bytes]()
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            proof.append(root_over(middle, end, node))
            end = middle
        else:
            proof.append(root_over(first, middle, node))
            first = middle
    return proof[::-1]


def consistency_proof(old: int, size: int, node: Node) -> list[bytes]:
    """Prove that a tree grew from its first `old` leaves, at least one (RFC 6962, 2.1.2)."""
    first, end, proof = 0, size, list[bytes]()
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            proof.append(root_over(middle, end, node))
            end = middle
        else:
            proof.append(root_over(first, middle, node))
            first = middle
    if first > 0:
        proof.append(root_over(first, end, node))
    return proof[::-1]


def is_included(leaf: bytes, index: int, *, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether a proof leads from a leaf hash to the root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or any(len(one) != _HASH_BYTES for one in (leaf, *proof)):
        return False
    place, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(one, found)
            place, last = _risen(place, last)
        else:
            found = node_hash(found, one)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Say whether a proof leads from one size and root to another (RFC 9162, 2.1.4.2)."""
    (size, root), (larger, grown_root) = old, new
    if not 1 <= size <= larger or any(len(one) != _HASH_BYTES for one in proof):
        return False
    if size == larger:
        return not proof and root == grown_root
    path = [root, *proof] if size & (size - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = size - 1, larger - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(one, before), node_hash(one, after)
            place, last = _risen(place, last)
        else:
            after = node_hash(after, one)
        place, last = place >> 1, last >> 1
    return last == 0 and before == root and after == grown_root


def _risen(place: int, last: int) -> tuple[int, int]:
    """Rise while the node is a left child without a sibling."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _split(width: int) -> int:
    """Return the largest power of two below a width above one."""
    return 1 << ((width - 1).bit_length() - 1)
