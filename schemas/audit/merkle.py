"""The RFC 6962 hash tree (section 2.1), grown one leaf at a time.

* A frontier holds one hash per set bit of the size: appending and taking the root cost O(log n).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


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
