"""The newest journal head of each site: what a hospital is shown of its own past.

* The largest head that a site signed with a release is kept, on disk before the aggregator goes on.
* It is returned in the next requests. A site whose files were put back, or whose home was copied
  and both copies used, then finds that its journal is not the one that signed, and trains nothing.
* The aggregator does not judge a head: an older one comes with every repeated reply.
"""

from pathlib import Path

from schemas.audit.notes import TreeHead, verified_head
from schemas.enrolment import Member, Roster
from schemas.errors import JournalDamaged
from schemas.files import write_durably
from schemas.names import Note, SiteName


class Heads:
    """A folder of signed notes, one for each site."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, member: Member, note: Note) -> None:
        """Keep a head if it is larger than the one known.

        Raises:
            JournalDamaged: not a head of this site's journal under its roster key.
        """
        head = signed_by(member, note)
        known = self._known(member)
        if known is None or head.size > signed_by(member, known, before=True).size:
            write_durably(self._folder / member.site, note.encode())

    def of(self, roster: Roster) -> dict[SiteName, Note]:
        """Return the heads of the roster's sites; one under a lost key is left out."""
        found = {member.site: self._known(member) for member in roster.members}
        return {site: note for site, note in found.items() if note is not None}

    def _known(self, member: Member) -> Note | None:
        path = self._folder / member.site
        try:
            note = path.read_bytes().decode()
            signed_by(member, note, before=True)
        except (FileNotFoundError, UnicodeDecodeError, JournalDamaged):
            return None
        return note


def signed_by(member: Member, note: Note, *, before: bool = False) -> TreeHead:
    """Return the head in a note that a site signed for its own journal.

    `before`: it may be one of the time before the site's key was replaced.

    Raises:
        JournalDamaged: anything else.
    """
    keys = member.signers if before else member.key
    return verified_head(note, origin=f"site/{member.site}", key=keys)
