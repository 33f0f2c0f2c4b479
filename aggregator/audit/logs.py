"""Copies of the sites' logs, as their nodes sent them with their replies.

* A part is taken in only if the site's signed head covers it, and each line is one event of that
  log in its place; what is kept is the exact bytes.
* Two heads of one site that cannot be of one history are a fork, and an incident. It is found
  against the head that the site signed before, never against this copy, which may be damaged.
* Nothing here waits for the disk: what a crash costs, the site sends again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import rfc8785

from schemas.audit.events import ForkSeen, HeadCosigned
from schemas.audit.exchange import Shared
from schemas.audit.lines import facts_in
from schemas.audit.merkle import Frontier, grown, leaf_hash
from schemas.audit.notes import TreeHead, claimed_head, site_origin, verified_head
from schemas.enrolment import Member
from schemas.errors import JournalDamaged
from schemas.files import make_folder
from schemas.names import Note

EVENTS, HEAD = "events.jsonl", "head"


class SiteLog:
    """One site's log, as far as it was received."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder(folder)
        self._frontier = grown(self._lines())

    @property
    def size(self) -> int:
        """How many events there are."""
        return self._frontier.size

    def note(self) -> Note | None:
        """Return the last head taken in, as the site signed it."""
        try:
            return (self._folder / HEAD).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def cosigned(self) -> int:
        """Return the size of the aggregator's log that the site says it cosigned last."""
        said = [*facts_in(self._lines(), HeadCosigned)][-1:]
        heads = [claimed_head(one.head) for one in said if isinstance(one, HeadCosigned)]
        return heads[0].size if heads and heads[0] is not None else 0

    def take(self, part: Shared, member: Member) -> ForkSeen | None:
        """Take in what a site shares; return the incident if its heads are of two histories.

        Raises:
            JournalDamaged: the head is not the site's, or the events do not lead to it.
        """
        head = verified_head(part.head, origin=site_origin(member.site), key=member.key)
        known = self._known(member)
        if head.size <= self.size and self._is_whole(known):
            own = grown(self._lines()[: head.size]).root()
            return None if own == head.root else ForkSeen(known=self.note(), shown=part.head)
        skipped = self.size - part.first
        if skipped < 0:
            raise _unfit("a part that does not follow what was received")
        lines = [one.encode() for one in part.events[skipped:]]
        _hold_events(lines, first=self.size, origin=head.origin)
        frontier = _grown(self._frontier, lines)
        if (frontier.size, frontier.root()) != (head.size, head.root):
            return self._doubted(part, known)
        if part.first == 0 and known is not None and not _holds(part.events, known):
            return ForkSeen(known=self.note(), shown=part.head)
        with (self._folder / EVENTS).open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        (self._folder / HEAD).write_text(part.head, encoding="utf-8")
        self._frontier = frontier
        return None

    def _doubted(self, part: Shared, known: TreeHead | None) -> ForkSeen | None:
        """Drop a copy that the site's head does not continue, and ask for all of it next time."""
        if part.first == 0:
            if known is not None and not _holds(part.events, known):
                return ForkSeen(known=self.note(), shown=part.head)
            raise _unfit("events that do not lead to the site's signed head")
        (self._folder / EVENTS).unlink(missing_ok=True)
        self._frontier = Frontier()
        raise _unfit("events that do not continue the ones received before")

    def _is_whole(self, known: TreeHead | None) -> bool:
        """Say whether this copy is what the site signed."""
        size_and_root = (self._frontier.size, self._frontier.root())
        return known is not None and (known.size, known.root) == size_and_root

    def _known(self, member: Member) -> TreeHead | None:
        note = self.note()
        try:
            if note is not None:
                return verified_head(note, origin=site_origin(member.site), key=member.signers)
        except JournalDamaged:
            """A torn file, or one of a former key."""
        return None

    def _lines(self) -> list[bytes]:
        path = self._folder / EVENTS
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _grown(frontier: Frontier, lines: Sequence[bytes]) -> Frontier:
    for line in lines:
        frontier = frontier.appended(leaf_hash(line))
    return frontier


def _hold_events(lines: Sequence[bytes], *, first: int, origin: str) -> None:
    """Hold that each line is one event of this log, of whatever version, in its place."""
    for sequence, line in enumerate(lines, start=first):
        try:
            event = json.loads(line)
            is_exact = rfc8785.dumps(event) == line
            fits = (event["sequence"], event["origin"]) == (sequence, origin)
            types = (type(event["sequence"]), type(event["time"]))
            if is_exact and fits and types == (int, str):
                continue
        except (ValueError, LookupError, TypeError, RecursionError, rfc8785.CanonicalizationError):
            """Told below."""
        raise _unfit(f"a line that is not event {sequence} of this log in canonical form")


def _holds(events: Sequence[str], known: TreeHead) -> bool:
    """Say whether a log from its start on contains the history of a head known before."""
    if len(events) < known.size:
        return True
    return grown(one.encode() for one in events[: known.size]).root() == known.root


def _unfit(found: str) -> JournalDamaged:
    return JournalDamaged(
        f"log refused: found {found}",
        next_step="ask the site for its journal, and compare it with the copies of others",
    )
