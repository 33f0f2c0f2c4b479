"""Images that may still identify, kept for a person to look at, and what that person decided.

* HOME/cohort.quarantine/<file>/ holds `quarantined.json`, one 8-bit picture in full size for each
  frame (`0001.png` and on), and `decision.json` once somebody has decided. Nothing of the header is
  in it.
* A file is named by a keyed hash of its bytes: a file that changed is another file, and is asked
  about anew.
* A decision covers the codes that the person was shown; a later ingest asks again when there are
  more. Pictures go when it is made, since no one else needs them.
"""

import shutil
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import Field, StringConstraints

from schemas.base import Record
from schemas.errors import CohortChanged, InputRefused, InvalidRecord
from schemas.files import write_durably
from schemas.manifest import Pseudonym
from schemas.names import Digest, Moment, Name, Text

__all__ = [
    "Decision",
    "FileName",
    "Quarantined",
    "decide",
    "decisions",
    "forget",
    "forget_patients",
    "keep",
    "pictures",
    "waiting",
]

Kept = TypeVar("Kept", "Quarantined", "Decision")

_QUARANTINED, _DECISION = "quarantined.json", "decision.json"

FileName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""The first 128 bits of a keyed HMAC-SHA-256 over the SHA-256 of a file's bytes."""


class Quarantined(Record):
    """One file that waits for a person."""

    file: FileName
    codes: tuple[Name, ...] = Field(min_length=1)
    """Why, in alphabetical order; `hospital_node.cohort.reasons` says what each means."""
    contract: Digest
    """Under which it was ingested last."""
    image: Digest
    patient: Pseudonym | None
    frames: int = Field(ge=1)
    """Each has a picture."""


class Decision(Record):
    """What a named person decided about a file."""

    file: FileName
    codes: tuple[Name, ...]
    """Those that the person was shown."""
    verdict: Literal["use", "refuse"]
    reviewer: Text
    decided: Moment

    def covers(self, codes: Sequence[str]) -> bool:
        """Say whether the person knew of all these codes."""
        return set(codes) <= set(self.codes)


def keep(store: Path, record: Quarantined, pages: Sequence[bytes]) -> None:
    """Keep a file's pictures (PNG) for a person; what was kept of it before is replaced."""
    folder = _folder(store) / record.file
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _folder(store).chmod(0o700)
    for old in folder.glob("*.png"):
        old.unlink()
    for number, page in enumerate(pages, start=1):
        write_durably(folder / f"{number:04d}.png", page, mode=0o600)
    write_durably(folder / _QUARANTINED, record.canonical(), mode=0o600)


def waiting(store: Path) -> tuple[Quarantined, ...]:
    """Return the files about which nobody has decided, or not with all of today's codes.

    Raises:
        CohortChanged: a record is damaged.
    """
    known = decisions(store)
    records = (
        _read(Quarantined, path) for path in sorted(_folder(store).glob(f"*/{_QUARANTINED}"))
    )
    return tuple(
        one for one in records if one.file not in known or not known[one.file].covers(one.codes)
    )


def pictures(store: Path, file: FileName) -> tuple[Path, ...]:
    """Return a waiting file's pictures, one for each frame."""
    return tuple(sorted((_folder(store) / file).glob("*.png")))


def decide(store: Path, decision: Decision) -> None:
    """Write a decision down, then remove the pictures.

    Raises:
        InputRefused: no such file waits.
    """
    folder = _folder(store) / decision.file
    if not (folder / _QUARANTINED).exists():
        message = "decision refused: no file of this name is in quarantine"
        raise InputRefused(message, next_step="list them: hospital-node cohort review --home DIR")
    write_durably(folder / _DECISION, decision.canonical(), mode=0o600)
    for picture in folder.glob("*.png"):
        picture.unlink()


def decisions(store: Path) -> Mapping[FileName, Decision]:
    """Return every decision by file.

    Raises:
        CohortChanged: a record is damaged.
    """
    found = (_read(Decision, path) for path in _folder(store).glob(f"*/{_DECISION}"))
    return {one.file: one for one in found}


def forget(store: Path, contract: Digest, *, besides: AbstractSet[str]) -> None:
    """Remove what waits undecided under a contract and is not named; decisions stay."""
    for record in waiting(store):
        if record.contract == contract and record.file not in besides:
            _drop(_folder(store) / record.file)


def forget_patients(store: Path, patients: AbstractSet[Pseudonym]) -> None:
    """Remove everything about files of these patients, and about those of nobody knows whom."""
    for path in sorted(_folder(store).glob(f"*/{_QUARANTINED}")):
        if _read(Quarantined, path).patient in {None, *patients}:
            shutil.rmtree(path.parent)


def _drop(folder: Path) -> None:
    """Remove the pictures and the record; an older decision stays."""
    (folder / _QUARANTINED).unlink()
    for picture in folder.glob("*.png"):
        picture.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _folder(store: Path) -> Path:
    """Beside the cohorts, so that it outlives them."""
    return store.with_name(store.name + ".quarantine")


def _read(kind: type[Kept], path: Path) -> Kept:
    try:
        return kind.from_canonical(path.read_bytes())
    except (OSError, InvalidRecord):
        message = "quarantine refused: found a record that is damaged"
        raise CohortChanged(message, next_step="restore it from a backup, or remove it") from None
