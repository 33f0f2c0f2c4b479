"""Where this site's part in an encrypted sum stands in the room of its round.

* The attempt's key and the sum that this site added up stand beside the part, private like it. All
  are erased with the room, before what was decrypted leaves.
* Each is read back under the digest that the part names.
"""

from dataclasses import dataclass
from pathlib import Path

from hospital_node.protection.encryption import CipherPart
from hospital_node.protection.room import PRIVATE, Room
from hospital_node.protection.sites import refused
from schemas.errors import IntegrityLost
from schemas.files import write_durably
from schemas.names import Digest, digest_of


@dataclass(frozen=True, slots=True)
class KeyRoom:
    """One round's room, under encryption."""

    room: Room

    def part(self) -> CipherPart:
        """Return this site's part in the present attempt.

        Raises:
            EnvelopeRefused: there is none.
            IntegrityLost: its file is damaged.
        """
        found = self.part_before()
        if found is None:
            raise refused(f"this site takes part in no attempt of round {self.room.round}")
        return found

    def part_before(self) -> CipherPart | None:
        """Return this site's part in an attempt before; None where it took part in none."""
        if not self._part.exists():
            return None
        return CipherPart.from_stored(self._part.read_bytes(), what="this site's part in a sum")

    def keep_part(self, part: CipherPart) -> None:
        """Put the part on disk."""
        write_durably(self._part, part.canonical(), mode=PRIVATE)

    def keep_key(self, key: bytes) -> Digest:
        """Put the attempt's key on disk and name it."""
        write_durably(self._key, key, mode=PRIVATE)
        return digest_of(key)

    def key(self, named: Digest | None) -> bytes:
        """Return the attempt's key.

        Raises:
            EnvelopeRefused: this site holds none.
            IntegrityLost: its file is damaged.
        """
        if named is None:
            raise refused("this site holds no key of the attempt")
        return _read(self._key, named)

    def keep_total(self, total: bytes) -> Digest:
        """Put the sum that this site added up on disk and name it."""
        write_durably(self._total, total, mode=PRIVATE)
        return digest_of(total)

    def total(self, named: Digest) -> bytes:
        """Return the sum that this site added up.

        Raises:
            IntegrityLost: its file is damaged.
        """
        return _read(self._total, named)

    @property
    def _part(self) -> Path:
        return self.room.folder / "cipher-part.json"

    @property
    def _key(self) -> Path:
        return self.room.folder / "key"

    @property
    def _total(self) -> Path:
        return self.room.folder / "total"


def _read(path: Path, named: Digest) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    if digest_of(content) != named:
        message = f"sum refused: this site's {path.name} is not the one that it kept"
        raise IntegrityLost(message, next_step="restore this home from the newest backup")
    return content
