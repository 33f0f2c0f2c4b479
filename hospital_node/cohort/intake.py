"""Every file of a source gets its outcome: remembered, or read in a process of its own.

* A file that was read before, in the same way, is known by its bytes and not decoded again.
* Codecs that are missing are named before the work starts.
* An image that may identify is kept for a person, with its pictures.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hospital_node.cohort import codecs, quarantine
from hospital_node.cohort.admission import Known
from hospital_node.cohort.deidentification import keyed_name, pseudonym
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.dicom import Image
from hospital_node.cohort.outlines import Outlines
from hospital_node.cohort.parsing import content_digest, transfer_syntax
from hospital_node.cohort.readings import FileRead, FrameRead, MaskRead, Readings
from hospital_node.cohort.reasons import NotUsed, Unfit
from hospital_node.cohort.sources import Listing
from hospital_node.cohort.workers import read_apart
from schemas.contract import DataContract
from schemas.manifest import Pseudonym

__all__ = ["Reader", "file_names", "outcomes"]

_COMMIT_FILES = 256
"""Readings that a crash may lose."""
_PASSING = {"codec-crash", "over-memory", "over-time"}
"""Codes that may be the machine's fault: such files are read again next time."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading a source needs to know."""

    known: Known
    readings: Readings

    @property
    def contract(self) -> DataContract:
        """What the files must be."""
        return self.known.contract

    @property
    def desk(self) -> Desk:
        """Where the work is done."""
        return self.known.desk


def file_names(files: Sequence[Path], *, key: bytes) -> list[str]:
    """Name each file by its bytes under the key; one that would be refused unread by its code."""
    return [_name(path, key) for path in files]


def _name(path: Path, key: bytes) -> str:
    try:
        return keyed_name(content_digest(path), key=key, purpose="file")
    except Unfit as unfit:
        return unfit.reason.code


def outcomes(
    files: Listing, names: Sequence[str], reader: Reader
) -> Iterator[tuple[int, str, FileRead]]:
    """Yield each file's place in the source, its name, and what was read of it.

    `names` are those of all files, or empty where no file can be known.
    """
    kept = {one.file for one in quarantine.waiting(reader.desk.store)}
    unread = []
    for place in range(len(files)):
        known = reader.readings.known(names[place]) if names else None
        if known is None or (
            reader.contract.must_be_seen(known.risks)
            and names[place] not in kept | reader.known.decided.keys()
        ):
            unread.append(place)
        else:
            yield place, names[place], known
    waiting = files.at(unread)
    _name_missing_codecs(waiting, reader.desk)
    arriving = read_apart(waiting, reader.contract, workers=reader.desk.workers)
    for done, (number, outcome) in enumerate(arriving, start=1):
        place = unread[number]
        yield place, *_remembered(outcome, place, files[place], reader=reader)
        if done % _COMMIT_FILES == 0:
            reader.readings.commit()
    reader.readings.commit()


def _name_missing_codecs(files: Sequence[Path], desk: Desk) -> None:
    syntaxes = Counter(transfer_syntax(path) for path in files)
    missing = Counter[str]()
    for syntax, count in syntaxes.items():
        if name := codecs.missing(syntax):
            missing[name] += count
    for name, count in sorted(missing.items()):
        desk.notice(f"no installed codec reads {name}; files of this transfer syntax: {count}")


def _remembered(
    outcome: Image | Outlines | NotUsed, place: int, path: Path, *, reader: Reader
) -> tuple[str, FileRead]:
    key = reader.desk.key
    if isinstance(outcome, NotUsed):
        name, read = _name(path, key), FileRead(outcome.code, outcome.detail)
        if outcome.code not in _PASSING and name != outcome.code:
            reader.readings.keep(name, read)
        return name, read
    name = keyed_name(outcome.content, key=key, purpose="file")
    read = _read_image(outcome, key) if isinstance(outcome, Image) else _read_masks(outcome, key)
    owner = read.patient or reader.known.picture_owner(place) or _labelled(read, reader.known)
    if owner in reader.known.withdrawn:
        return name, FileRead("withdrawn")
    if isinstance(outcome, Outlines):
        reader.readings.keep(name, read, masks=[one.pixels for one in outcome.masks])
        return name, read
    reader.readings.keep(name, read, [one.plane for one in outcome.frames])
    if outcome.pages:
        _quarantine(name, read, outcome.pages, owner=owner, reader=reader)
    return name, read


def _labelled(read: FileRead, known: Known) -> Pseudonym | None:
    """Return the patient of the labels table that a file is of, whatever the file itself says."""
    named = (read.instance, read.series, *read.covered, *(one.instance for one in read.masks))
    return next((known.rows[one].patient for one in named if one in known.rows), None)


def _read_image(image: Image, key: bytes) -> FileRead:
    return FileRead(
        instance=keyed_name(image.instance.encode(), key=key, purpose="instance"),
        patient=pseudonym(image.patient, key=key) if image.patient else "",
        series=_keyed(image.series, key),
        risks=image.risks,
        frames=tuple(
            FrameRead(one.number, one.digest, one.grid, one.place) for one in image.frames
        ),
    )


def _read_masks(outlines: Outlines, key: bytes) -> FileRead:
    return FileRead(
        patient=pseudonym(outlines.patient, key=key) if outlines.patient else "",
        series=_keyed(outlines.series, key),
        masks=tuple(
            MaskRead(
                one.digest,
                (one.pixels.shape[0], one.pixels.shape[1]),
                not one.pixels.any(),
                _keyed(one.instance, key),
                one.frame,
                one.origin,
            )
            for one in outlines.masks
        ),
        covered=tuple(_keyed(one, key) for one in outlines.covered),
        is_outlines=True,
    )


def _keyed(uid: str, key: bytes) -> str:
    return keyed_name(uid.encode(), key=key, purpose="instance") if uid else ""


def _quarantine(
    name: str,
    read: FileRead,
    pages: tuple[bytes, ...],
    *,
    owner: Pseudonym | None,
    reader: Reader,
) -> None:
    decision = reader.known.decided.get(name)
    if decision is not None and decision.covers(read.risks):
        return
    record = quarantine.Quarantined(
        file=name,
        codes=tuple(sorted(read.risks)),
        contract=reader.contract.digest,
        image=read.frames[0].image,
        patient=owner,
        frames=len(pages),
    )
    quarantine.keep(reader.desk.store, record, pages)
