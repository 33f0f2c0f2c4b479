"""The journal: an append-only file of audit events under a signed tree head.

* An event is on disk before `append` returns, so a claim is written before it is acted on.
* A leaf is the exact stored bytes of one line; they are never serialised again to verify.
* The head is signed when the log is made, at the end of a round and at the end of a command.
* After a crash the file may hold more events than the head, never fewer; a torn last line was never
  acknowledged and is dropped.
* Files that do not fit together are refused and left as they are.
* One writer: the owner of the home directory.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

from schemas.audit.events import AuditEvent, Facts
from schemas.audit.merkle import Frontier, grown, leaf_hash
from schemas.audit.notes import TreeHead, signed_head, verified_head
from schemas.base import Record
from schemas.errors import InvalidRecord, JournalDamaged, OtherVersion
from schemas.files import make_folder, write_durably
from schemas.names import Moment, PublicKey
from schemas.wire.keys import SigningKey

_EVENTS, _HEAD, _PRIVATE = "events.jsonl", "head", "private"
_REMEMBERED = 2**15
"""Lines whose facts a process keeps: some 10 000 requests, at a kilobyte each."""
_VERSION_CHARACTERS = 40


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
        make_folder(folder)
        self._frontier, self._end = _recovered(folder, origin=origin, key=key.public)
        self._file = (folder / _EVENTS).open("ab", buffering=0)
        self._file.truncate(self._end)
        if not (folder / _HEAD).exists():
            self.seal()

    def append(self, *facts: Facts, private: Record | None = None) -> None:
        """Write events, all of them on disk when this returns.

        Private details go to a file of their own under a salt; the last event commits to them. What
        cannot be written whole is taken back.
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

    def root_at(self, size: int) -> bytes | None:
        """Return the root over the first `size` events; None when there are fewer.

        The events are read again, so this also notices a file that changed under its owner.
        """
        frontier = grown(islice(_whole_lines(self._folder), size))
        return frontier.root() if frontier.size == size else None

    def close(self) -> None:
        """Seal the log and release the file."""
        self.seal()
        self._file.close()

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


def read_events(folder: Path) -> Iterator[AuditEvent]:
    """Read the events of a log without opening it for writing."""
    for line in _whole_lines(folder):
        yield _event(line)


def read_facts(folder: Path, *kinds: type[Facts]) -> Iterator[Facts]:
    """Read the facts of some kinds, in order; lines of other kinds are passed by unparsed.

    A line is parsed once in a process, by its very bytes: what is read again costs little.
    """
    tags = [f'"kind":"{kind.model_fields["kind"].default}"'.encode() for kind in kinds]
    for line in _whole_lines(folder):
        if any(tag in line for tag in tags):
            facts = _facts_of(line)
            if isinstance(facts, kinds):
                yield facts


@lru_cache(maxsize=_REMEMBERED)
def _facts_of(line: bytes) -> Facts:
    return _event(line).facts


def _event(line: bytes) -> AuditEvent:
    try:
        return AuditEvent.from_canonical(line)
    except InvalidRecord as error:
        if error.is_other_version:
            raise OtherVersion("journal") from None
        raise _damaged("an event that is not in canonical form") from None


@contextmanager
def naming_versions(folder: Path) -> Iterator[None]:
    """Add to a refusal of another version's record which versions this home was used with.

    Raises:
        OtherVersion: as it came, with the versions that the log names.
    """
    try:
        yield
    except OtherVersion as error:
        raise OtherVersion(error.what, versions=", ".join(_versions(folder))) from error


def _versions(folder: Path) -> list[str]:
    """Read the versions that the log names, whatever else another version wrote into it."""
    found = []
    for line in _whole_lines(folder):
        if b'"kind":"software-started"' in line:
            with suppress(ValueError, LookupError, TypeError):
                found.append(str(json.loads(line)["facts"]["version"])[:_VERSION_CHARACTERS])
    return [one for one in dict.fromkeys(found) if one.isprintable()]


def verified(folder: Path, *, origin: str, key: PublicKey) -> TreeHead:
    """Return the signed head after holding every event against it; reads only.

    Raises:
        JournalDamaged: no head, or events that differ from it.
    """
    head = _stored_head(folder, origin=origin, key=key)
    if head is None:
        raise _damaged("no signed tree head")
    lines = islice(_whole_lines(folder), head.size)
    frontier = grown(lines)
    if (frontier.size, frontier.root()) != (head.size, head.root):
        raise _damaged("events that differ from the signed tree head")
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


def _recovered(folder: Path, *, origin: str, key: PublicKey) -> tuple[Frontier, int]:
    """Return the frontier over the whole lines and where they end, if they fit the head."""
    head = _stored_head(folder, origin=origin, key=key)
    if head is None:
        if (folder / _EVENTS).exists() and (folder / _EVENTS).stat().st_size > 0:
            raise _damaged("events without a signed tree head")
        return Frontier(), 0
    frontier, end, found = Frontier(), 0, head.size == 0
    for line in _whole_lines(folder):
        frontier, end = frontier.appended(leaf_hash(line)), end + len(line) + 1
        if frontier.size == head.size:
            found = frontier.root() == head.root
    if not found:
        raise _damaged("events that differ from the signed tree head")
    return frontier, end


def _whole_lines(folder: Path) -> Iterator[bytes]:
    """Read the stored events without their line ends; a torn last one is left out."""
    path = folder / _EVENTS
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def _stored_head(folder: Path, *, origin: str, key: PublicKey) -> TreeHead | None:
    path = folder / _HEAD
    if not path.exists():
        return None
    try:
        note = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise _damaged("a tree head that is no text") from None
    return verified_head(note, origin=origin, key=key)


def _damaged(found: str) -> JournalDamaged:
    return JournalDamaged(
        f"journal refused: found {found}",
        next_step="stop, keep the files as they are, and restore the journal and the ledger "
        "together from a backup",
    )
