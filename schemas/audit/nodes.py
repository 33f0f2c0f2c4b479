"""What makes a long log quick: the roots of its perfect subtrees, and where each event ends.

* Behind each leaf hash stand the subtrees that it completes, so the file only grows, and a node's
  place follows from its level and index (the order of Go's checksum database).
* The files hold nothing of their own: what does not lead to the signed root is made anew from the
  events. So they are never put on disk on purpose.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from schemas.audit.merkle import Frontier, Node, node_hash, root_over
from schemas.files import make_folder

HASH_BYTES, END_BYTES = 32, 8


def place_of(level: int, index: int) -> int:
    """Return how many nodes stand before this one."""
    for _ in range(level):
        index = 2 * index + 1
    place = level
    while index:
        place += index
        index >>= 1
    return place


def completed(frontier: Frontier, leaf: bytes) -> bytes:
    """Return the nodes that one more leaf completes: itself and the subtrees that it ends."""
    nodes, size, left = [leaf], frontier.size, list(frontier.hashes)
    while size & 1:
        nodes.append(node_hash(left.pop(), nodes[-1]))
        size >>= 1
    return b"".join(nodes)


def count_of(size: int) -> int:
    """Return how many nodes a log of this size has."""
    return 2 * size - size.bit_count()


def frontier_at(size: int, node: Node) -> Frontier:
    """Return the frontier over the first `size` leaves."""
    hashes, first = list[bytes](), 0
    for level in reversed(range(size.bit_length())):
        width = 1 << level
        if size & width:
            hashes.append(root_over(first, first + width, node))
            first += width
    return Frontier(size, tuple(hashes))


class Nodes:
    """The two files of one log."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._nodes = os.open(folder / "nodes", flags, 0o644)
        self._ends = os.open(folder / "ends", flags, 0o644)

    def write(self, size: int, nodes: bytes, ends: Sequence[int]) -> None:
        """Put what the events after the first `size` complete, and where they end, in place."""
        packed = b"".join(end.to_bytes(END_BYTES) for end in ends)
        _write_at(self._nodes, nodes, HASH_BYTES * count_of(size))
        _write_at(self._ends, packed, END_BYTES * size)

    def node(self, level: int, index: int) -> bytes:
        """Return the root of a perfect subtree.

        Raises:
            LookupError: the file ends before it.
        """
        return _read_at(self._nodes, HASH_BYTES, HASH_BYTES * place_of(level, index))

    def end(self, size: int) -> int:
        """Return where the first `size` events end, in bytes.

        Raises:
            LookupError: the file ends before it.
        """
        if size == 0:
            return 0
        return int.from_bytes(_read_at(self._ends, END_BYTES, END_BYTES * (size - 1)))

    def close(self) -> None:
        """Release the files."""
        os.close(self._nodes)
        os.close(self._ends)


def _read_at(descriptor: int, count: int, place: int) -> bytes:
    found = os.pread(descriptor, count, place)
    if len(found) != count:
        message = "a file of nodes ends too early"
        raise LookupError(message)
    return found


def _write_at(descriptor: int, content: bytes, place: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written
