"""The journal: an append-only file of audit events under a signed tree head.

* An event is on disk before `append` returns, so a claim is written before it is acted on.
* A leaf is the exact stored bytes of one line; they are never serialised again to verify.
* The head is signed when the log is made, at the end of a round and at the end of a command.
* After a crash the file may hold more events than the head, never fewer; a torn last line was never
  acknowledged and is dropped.
* Files that do not fit together are refused and left as they are. A log up to 8 MiB is read whole
  when it is opened; of a longer one, what follows the signed head, the rest through its stored
  nodes. `verified` always reads everything.
* One writer: the owner of the home directory.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TypeVar

from schemas.audit.events import AuditEvent, Facts
from schemas.audit.lines import EVENTS, damaged, read_events, whole_lines
from schemas.audit.merkle import Frontier, consistency_proof, grown, leaf_hash, root_over
from schemas.audit.nodes import Nodes, completed, frontier_at
from schemas.audit.notes import TreeHead, signed_head, verified_head
from schemas.base import Record
from schemas.errors import JournalDamaged
from schemas.files import make_folder, read_plain, write_durably
from schemas.names import Moment, PublicKey, PublicKeys
from schemas.wire.keys import SigningKey

_HEAD, _PRIVATE, _TREE = "head", "private", "tree"
_READ_WHOLE_BYTES = 8 * 2**20
_BATCH = 4096

T = TypeVar("T")


class Journal:
    """One silo's log, open for appending."""

    def __init__(
        self,
        folder: Path,
        *,
        origin: str,
        key: SigningKey,
        clock: Callable[[], Moment],
        former: tuple[PublicKey, ...] = (),
    ) -> None:
        """Open a log, verify it against its head, and drop a torn last line.

        The head may be signed by a `former` key; the next one is signed by `key`.

        Raises:
            JournalDamaged: the file does not match the signed head.
        """
        self._folder, self._origin, self._key, self._clock = folder, origin, key, clock
        make_folder(folder)
        self._nodes = Nodes(folder / _TREE)
        head = _stored_head(folder, origin=origin, key=(key.public, *former))
        self._frontier, self._end = _recovered(folder, head, self._nodes)
        self._file = (folder / EVENTS).open("ab", buffering=0)
        self._file.truncate(self._end)
        if not (folder / _HEAD).exists():
            self.seal()

    def append(self, *facts: Facts, private: Record | None = None) -> None:
        """Write events, all of them on disk when this returns.

        Private details go to a file of their own under a salt; the last event commits to them. What
        cannot be written whole is taken back.
        """
        lines, nodes, ends = list[bytes](), list[bytes](), list[int]()
        frontier, end = self._frontier, self._end
        for place, one in enumerate(facts, start=1):
            event = AuditEvent(
                sequence=frontier.size,
                time=self._clock(),
                origin=self._origin,
                facts=one,
                private=self._committed(private) if private and place == len(facts) else None,
            )
            lines.append(event.canonical())
            leaf, end = leaf_hash(lines[-1]), end + len(lines[-1]) + 1
            nodes.append(completed(frontier, leaf))
            ends.append(end)
            frontier = frontier.appended(leaf)
        self._nodes.write(self._frontier.size, b"".join(nodes), ends)
        self._write(b"".join(line + b"\n" for line in lines))
        self._frontier = frontier

    def seal(self) -> None:
        """Write the signed head over everything appended."""
        write_durably(self._folder / _HEAD, self.head().encode())

    @property
    def size(self) -> int:
        """How many events were appended."""
        return self._frontier.size

    def events(self) -> Iterator[AuditEvent]:
        """Read all events in order."""
        return read_events(self._folder)

    def head(self) -> str:
        """Return the signed tree head over everything appended."""
        head = TreeHead(self._origin, self._frontier.size, self._frontier.root())
        return signed_head(head, self._key)

    def head_at(self, size: int) -> str:
        """Return the signed tree head over the first `size` events, at least one.

        Raises:
            JournalDamaged: the stored nodes do not lead there.
        """
        head = TreeHead(self._origin, size, self._from_nodes(lambda: self._root(size)))
        return signed_head(head, self._key)

    def consistency(self, old: int, *, size: int) -> list[bytes]:
        """Prove that the first `size` events continue the first `old` ones, at least one.

        Raises:
            JournalDamaged: the stored nodes do not lead there.
        """
        return self._from_nodes(lambda: consistency_proof(old, size, self._nodes.node))

    def lines(self, first: int, *, most: int) -> list[bytes]:
        """Return the stored bytes of up to `most` events from one on.

        Raises:
            JournalDamaged: the stored nodes do not lead there.
        """
        count = max(0, min(most, self.size - first))
        start, end = self._from_nodes(
            lambda: (self._nodes.end(first), self._nodes.end(first + count))
        )
        with (self._folder / EVENTS).open("rb") as file:
            file.seek(start)
            return file.read(end - start).split(b"\n")[:-1]

    def root_at(self, size: int) -> bytes | None:
        """Return the root over the first `size` events; None when there are fewer.

        The events are read again, so this also notices a file that changed under its owner.
        """
        frontier = grown(islice(whole_lines(self._folder), size))
        return frontier.root() if frontier.size == size else None

    def go_on(self, key: SigningKey) -> None:
        """Sign every head from now on with another key, the present one first."""
        self._key = key
        self.seal()

    def close(self) -> None:
        """Seal the log and release the file."""
        self.seal()
        self._file.close()
        self._nodes.close()

    def _root(self, size: int) -> bytes:
        return root_over(0, size, self._nodes.node)

    def _from_nodes(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except LookupError:
            raise damaged("stored nodes that end too early") from None

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(self._end)
            raise
        self._end += len(content)

    def _committed(self, private: Record) -> str:
        salt = secrets.token_bytes(32)
        content = salt + private.canonical()
        name = sha256(content).hexdigest()
        write_durably(self._folder / _PRIVATE / name, content, mode=0o600)
        return f"sha256:{name}"


def verified(folder: Path, *, origin: str, key: PublicKeys) -> TreeHead:
    """Return the signed head after holding every event against it; reads only.

    Raises:
        JournalDamaged: no head, or events that differ from it.
    """
    head = _stored_head(folder, origin=origin, key=key)
    if head is None:
        raise damaged("no signed tree head")
    lines = islice(whole_lines(folder), head.size)
    frontier = grown(lines)
    if (frontier.size, frontier.root()) != (head.size, head.root):
        raise damaged("events that differ from the signed tree head")
    return head


def refuse_empty(size: int) -> None:
    """Refuse a home's log that holds no event: every home has one since it was made.

    Raises:
        JournalDamaged: it is empty.
    """
    if size == 0:
        raise JournalDamaged(
            "journal refused: found no event, a home has one since it was made",
            next_step="restore the journal from a backup; a home never goes on without its past",
        )


def _recovered(folder: Path, head: TreeHead | None, nodes: Nodes) -> tuple[Frontier, int]:
    """Return the frontier over the whole lines and where they end, if they fit the head.

    The nodes of what is read are stored anew.
    """
    path = folder / EVENTS
    length = path.stat().st_size if path.exists() else 0
    if head is None:
        if length > 0:
            raise damaged("events without a signed tree head")
        return Frontier(), 0
    frontier, end = Frontier(), 0
    if length > _READ_WHOLE_BYTES:
        frontier, end = _from_head(head, nodes) or (frontier, end)
    found = head.size == frontier.size
    lines = whole_lines(folder, start=end)
    while batch := list(islice(lines, _BATCH)):
        size, made, ends = frontier.size, list[bytes](), list[int]()
        for line in batch:
            leaf, end = leaf_hash(line), end + len(line) + 1
            made.append(completed(frontier, leaf))
            ends.append(end)
            frontier = frontier.appended(leaf)
            if frontier.size == head.size:
                found = frontier.root() == head.root
        nodes.write(size, b"".join(made), ends)
    if not found or end > length:
        raise damaged("events that differ from the signed tree head")
    return frontier, end


def _from_head(head: TreeHead, nodes: Nodes) -> tuple[Frontier, int] | None:
    """Return what stands under the head by the stored nodes; None: they do not lead there."""
    try:
        frontier = frontier_at(head.size, nodes.node)
        end = nodes.end(head.size)
    except LookupError:
        return None
    return (frontier, end) if frontier.root() == head.root else None


def _stored_head(folder: Path, *, origin: str, key: PublicKeys) -> TreeHead | None:
    path = folder / _HEAD
    if not path.exists():
        return None
    try:
        note = read_plain(path).decode()
    except UnicodeDecodeError:
        raise damaged("a tree head that is no text") from None
    return verified_head(note, origin=origin, key=key)
