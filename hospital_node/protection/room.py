"""Where a sum that is not opened yet stands in the home: this site's value, and its part.

* One folder for each round and purpose of a run; its files can be read by their owner alone.
* A part is on disk before an answer made of it leaves, so a restart goes on with the same secrets.
* After this site unmasked or opened a sum, value and part are erased, before what it gives leaves.
  What is stored of its replies keeps every exchange at one answer.
* A later round, or the end of the run, erases the folder.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from hospital_node.config import NodeHome, run_folder
from hospital_node.protection.masking import Part
from hospital_node.replies import Replies
from schemas.errors import EnvelopeRefused
from schemas.files import sync_folder, write_durably
from schemas.names import Digest, Name
from schemas.protection.messages import Purpose

PRIVATE = 0o600
_DIGEST_CHARACTERS = 71


@dataclass(frozen=True, slots=True)
class Room:
    """One round's and purpose's folder."""

    folder: Path
    round: int
    purpose: Purpose

    @property
    def replies(self) -> Replies:
        """What this site answered in the exchanges of each attempt."""
        return Replies(self.folder / "replies")

    def keep_value(self, model: Digest, value: bytes) -> None:
        """Keep what this site will give to the sum, made with a model; earlier rounds go."""
        for other in self.folder.parent.glob("*"):
            if other != self.folder:
                shutil.rmtree(other)
        write_durably(self._value, model.encode() + value, mode=PRIVATE)

    def value(self, model: Digest) -> bytes:
        """Return it.

        Raises:
            EnvelopeRefused: there is none, it was given already, or it is of another model.
        """
        content = self._value.read_bytes() if self._value.exists() else b""
        if content[:_DIGEST_CHARACTERS] != model.encode():
            message = f"sum refused: this site has no value of round {self.round} to give"
            next_step = "nothing was opened; if the round was, its sum cannot be asked for again"
            raise EnvelopeRefused(message, next_step=next_step)
        return content[_DIGEST_CHARACTERS:]

    def part(self) -> Part:
        """Return this site's part in the present attempt.

        Raises:
            EnvelopeRefused: there is none.
            IntegrityLost: its file is damaged.
        """
        if not self._part.exists():
            message = f"sum refused: this site takes part in no attempt of round {self.round}"
            next_step = "nothing was opened; resume the run, which begins a fresh attempt"
            raise EnvelopeRefused(message, next_step=next_step)
        return Part.from_stored(self._part.read_bytes(), what="this site's part in a sum")

    def has_part(self) -> bool:
        """Say whether this site takes part in an attempt."""
        return self._part.exists()

    def keep_part(self, part: Part) -> None:
        """Put the part on disk."""
        write_durably(self._part, part.canonical(), mode=PRIVATE)

    def erase(self) -> None:
        """Forget all but the replies, on disk; this site can give nothing more of this round."""
        for path in self.folder.glob("*"):
            if path.is_file():
                path.unlink()
        sync_folder(self.folder)

    def has_opened(self, run: Name) -> bool:
        """Say whether what opens a sum of this round left, in any attempt."""
        return any(self.replies.last_round(run, last) > 0 for last in ("unmask", "open"))

    @property
    def _value(self) -> Path:
        return self.folder / "value"

    @property
    def _part(self) -> Path:
        return self.folder / "part.json"


def room_of(home: NodeHome, run: Name, plan: Digest, *, at: tuple[int, Purpose]) -> Room:
    """Return the room of a round and purpose."""
    number, purpose = at
    folder = home.sums / run_folder(run, plan) / f"{number:06d}-{purpose}"
    return Room(folder, number, purpose)


def clear(home: NodeHome, run: Name, plan: Digest) -> None:
    """Erase what a run that is over left."""
    shutil.rmtree(home.sums / run_folder(run, plan), ignore_errors=True)
