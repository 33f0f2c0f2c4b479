"""The journal: an append-only file of audit events under a signed tree head.

* An event is on disk before `append` returns, so a claim is written before it is acted on.
* A leaf is the exact stored bytes of one line; they are never serialised again to verify.
* The head is signed at the end of a round and at the end of a command. After a crash the file may
  hold more events than the head, never fewer; a torn last line was never acknowledged and is
  dropped.
* One writer: the owner of the home directory.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from schemas.audit.events import AuditEvent, Facts
from schemas.audit.merkle import Frontier, leaf_hash
from schemas.audit.notes import TreeHead, signed_head, verified_head
from schemas.base import Record
from schemas.errors import InvalidRecord, JournalDamaged
from schemas.files import sync_folder, write_durably
from schemas.names import Moment, PublicKey
from schemas.wire.keys import SigningKey

_EVENTS, _HEAD, _PRIVATE = "events.jsonl", "head", "private"


class Journal:
    """One silo's log, open for appending."""

    def __init__(
        self, folder: Path, *, origin: str, key: SigningKey, clock: Callable[[], Moment]
    ) -> None:
        """Open a log, verify it against its head, and drop a torn last line.

        Raises:
            JournalDamaged: the file does not match the signed head.
        """
        self._folder, self._origin, self._key, self._clock = folder, origin, key, clock
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if new:
            sync_folder(folder.parent)
        self._frontier = _recovered(folder, origin=origin, key=key)
        self._file = (folder / _EVENTS).open("ab")

    def append(self, *facts: Facts, private: Record | None = None) -> None:
        """Write events, all of them on disk when this returns.

        Private details go to a file of their own under a salt; the last event commits to them.
        """
        lines = []
        frontier = self._frontier
        for place, one in enumerate(facts, start=1):
            event = AuditEvent(
                sequence=frontier.size,
                time=self._clock(),
                origin=self._origin,
                facts=one,
                private=self._committed(private) if private and place == len(facts) else None,
            )
            lines.append(event.canonical())
            frontier = frontier.appended(leaf_hash(lines[-1]))
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._frontier = frontier

    def seal(self) -> None:
        """Write the signed head over everything appended."""
        write_durably(self._folder / _HEAD, self.head().encode())

    @property
    def is_empty(self) -> bool:
        """Say whether nothing was ever appended."""
        return self._frontier.size == 0

    def events(self) -> Iterator[AuditEvent]:
        """Read all events in order."""
        return read_events(self._folder)

    def head(self) -> str:
        """Return the signed tree head over everything appended."""
        head = TreeHead(self._origin, self._frontier.size, self._frontier.root())
        return signed_head(head, self._key)

    def close(self) -> None:
        """Seal the log and release the file."""
        self.seal()
        self._file.close()

    def _committed(self, private: Record) -> str:
        salt = secrets.token_bytes(32)
        content = salt + private.canonical()
        name = sha256(content).hexdigest()
        write_durably(self._folder / _PRIVATE / name, content, mode=0o600)
        return f"sha256:{name}"


def read_events(folder: Path) -> Iterator[AuditEvent]:
    """Read the events of a log without opening it for writing."""
    path = folder / _EVENTS
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield AuditEvent.from_canonical(line[:-1])
            except InvalidRecord:
                raise _damaged("an event that is not in canonical form") from None


def verified(folder: Path, *, origin: str, key: PublicKey) -> TreeHead:
    """Return the signed head after holding every event against it; reads only.

    Raises:
        JournalDamaged: no head, or events that differ from it.
    """
    path = folder / _HEAD
    if not path.exists():
        raise _damaged("no signed tree head")
    head = verified_head(path.read_text(encoding="utf-8"), origin=origin, key=key)
    frontier = Frontier()
    with (folder / _EVENTS).open("rb") as file:
        for line in file:
            if frontier.size == head.size:
                break
            frontier = frontier.appended(leaf_hash(line.removesuffix(b"\n")))
    if (frontier.size, frontier.root()) != (head.size, head.root):
        raise _damaged("events that differ from the signed tree head")
    return head


def _recovered(folder: Path, *, origin: str, key: SigningKey) -> Frontier:
    """Return the frontier over the whole lines, after comparing it with the head."""
    head = _stored_head(folder, origin=origin, key=key)
    path = folder / _EVENTS
    frontier, end, found = Frontier(), 0, head is None or head.size == 0
    if path.exists():
        with path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(end)
                    os.fsync(file.fileno())
                    break
                frontier, end = frontier.appended(leaf_hash(line[:-1])), end + len(line)
                if head is not None and frontier.size == head.size:
                    found = frontier.root() == head.root
                    if not found:
                        break
    if not found:
        raise _damaged("events that differ from the signed tree head")
    return frontier


def _stored_head(folder: Path, *, origin: str, key: SigningKey) -> TreeHead | None:
    path = folder / _HEAD
    if not path.exists():
        if (folder / _EVENTS).exists() and (folder / _EVENTS).read_bytes().count(b"\n") > 1:
            raise _damaged("events without a signed tree head")
        return None
    return verified_head(path.read_text(encoding="utf-8"), origin=origin, key=key.public)


def _damaged(found: str) -> JournalDamaged:
    return JournalDamaged(
        f"journal refused: found {found}",
        next_step="stop, keep the files as they are, and restore the journal and the ledger "
        "together from a backup",
    )
