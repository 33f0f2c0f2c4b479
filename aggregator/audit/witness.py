"""Showing the aggregator's log to the sites, and keeping what they cosign.

* Every head that is shown is kept as a note, and the cosignatures that come are its further lines.
* A head is shown with proofs from the sizes that a site may have cosigned last: those it answered
  with, and the last few that were shown.
* Nothing here waits for the disk: a cosignature that a crash costs is given again, on a later head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.audit.exchange import Shared, Shown
from schemas.audit.journal import Journal
from schemas.audit.notes import claimed_head, cosigners, witness_name
from schemas.audit.witness import Offer, cosigning
from schemas.enrolment import Member, Roster
from schemas.files import make_folder, write_durably
from schemas.names import SiteName

_LATEST = 4
"""Heads shown last: a node may have cosigned them although no reply came."""
_LOOKED_AT = 64
"""Notes searched for a quorum, newest first."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """A folder of notes by size, and for each site the size that it cosigned last."""

    folder: Path

    def offers(
        self, journal: Journal, roster: Roster, *, size: int, cosigned: str | None
    ) -> tuple[str, ...]:
        """Return the journal's head at a size, from where sites may stand, and keep the note."""
        note, sizes = journal.head_at(size), {*self.sizes()[-_LATEST:], *self._answered(roster)}
        if cosigned is not None and (head := claimed_head(cosigned)) is not None:
            sizes.add(head.size)
        make_folder(self.folder)
        if not self._path(size).exists():
            self._path(size).write_text(note, encoding="utf-8")
        return tuple(
            Offer(old, tuple(journal.consistency(old, size=size) if old else ()), note).body()
            for old in sorted({0, *sizes})
            if old <= size
        )

    def cosigned(self, roster: Roster, *, needed: int) -> str | None:
        """Return the newest note that enough sites cosigned; None: there is none."""
        for size in reversed(self.sizes()[-_LOOKED_AT:]):
            note = self._read(size)
            if note is not None and len(cosigning(note, roster)) >= needed:
                return note
        return None

    def keep(self, shown: Shown, part: Shared, member: Member) -> bool:
        """Keep a site's cosignature of the head shown; False when there is none that is valid."""
        note = shown.offers[0].partition("\n\n")[2]
        head = claimed_head(note)
        name = witness_name(member.site)
        line = part.cosignature
        if head is None or line is None or not cosigners(note + line, {name: member.witness}):
            return False
        path = self._path(head.size)
        if name not in cosigners(path.read_text(encoding="utf-8"), {name: member.witness}):
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        self.stands(member.site, head.size)
        return True

    def stands(self, site: SiteName, size: int) -> None:
        """Note which size a site cosigned last, whoever it was that told."""
        make_folder(self.folder)
        (self.folder / f"last-{site}").write_text(str(size), encoding="utf-8")

    def keep_change(self, note: str) -> None:
        """Keep the head over a change of the roster, under the key that signed until then."""
        make_folder(self.folder)
        head = claimed_head(note)
        write_durably(self.folder / f"roster-{0 if head is None else head.size}", note.encode())

    def changes(self) -> list[str]:
        """Return the heads over changes of the roster."""
        return [path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("roster-*"))]

    def notes(self) -> list[str]:
        """Return every note that can be read, smallest first."""
        return [note for size in self.sizes() if (note := self._read(size)) is not None]

    def sizes(self) -> list[int]:
        """List the sizes that were shown."""
        names = (path.name for path in self.folder.glob("[0-9]*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _answered(self, roster: Roster) -> Sequence[int]:
        found = (self.folder / f"last-{one.site}" for one in roster.members)
        texts = (path.read_text(encoding="utf-8") for path in found if path.exists())
        return [int(text) for text in texts if text.isdecimal()]

    def _read(self, size: int) -> str | None:
        """Return a note; None for one that a crash tore."""
        note = self._path(size).read_text(encoding="utf-8", errors="replace")
        head = claimed_head(note)
        return note if head is not None and head.size == size else None

    def _path(self, size: int) -> Path:
        return self.folder / f"{size}"
