"""Every file of a source gets its outcome: remembered, or read in a process of its own.

* A file that was read before, in the same way, is known by its bytes and not decoded again.
* Codecs that are missing are named before the work starts.
* An image that may identify is kept for a person, with its pictures.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from hospital_node.cohort import codecs, quarantine
from hospital_node.cohort.deidentification import keyed_name, pseudonym
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.dicom import Image
from hospital_node.cohort.parsing import content_digest, transfer_syntax
from hospital_node.cohort.readings import FileRead, FrameRead, Readings
from hospital_node.cohort.reasons import NotUsed, Unfit
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

    contract: DataContract
    desk: Desk
    readings: Readings
    owners: Mapping[str, Pseudonym]
    """Patients in the labels table by the keyed name of an instance."""
    decided: Mapping[str, quarantine.Decision]
    withdrawn: AbstractSet[Pseudonym]


def file_names(files: Sequence[Path], *, key: bytes) -> list[str]:
    """Name each file by its bytes under the key; one that would be refused unread by its code."""
    return [_name(path, key) for path in files]


def _name(path: Path, key: bytes) -> str:
    try:
        return keyed_name(content_digest(path), key=key, purpose="file")
    except Unfit as unfit:
        return unfit.reason.code


def outcomes(
    files: Sequence[Path], names: Sequence[str], reader: Reader
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
            and names[place] not in kept | reader.decided.keys()
        ):
            unread.append(place)
        else:
            yield place, names[place], known
    _name_missing_codecs([files[place] for place in unread], reader.desk)
    waiting = [files[place] for place in unread]
    arriving = read_apart(waiting, reader.contract, workers=reader.desk.workers)
    for done, (number, outcome) in enumerate(arriving, start=1):
        place = unread[number]
        yield place, *_remembered(outcome, files[place], reader)
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


def _remembered(outcome: Image | NotUsed, path: Path, reader: Reader) -> tuple[str, FileRead]:
    key = reader.desk.key
    if isinstance(outcome, NotUsed):
        name, read = _name(path, key), FileRead(outcome.code, outcome.detail)
        if outcome.code not in _PASSING and name != outcome.code:
            reader.readings.keep(name, read, ())
        return name, read
    name = keyed_name(outcome.content, key=key, purpose="file")
    read = FileRead(
        instance=keyed_name(outcome.instance.encode(), key=key, purpose="instance"),
        patient=pseudonym(outcome.patient, key=key) if outcome.patient else "",
        series=_series(outcome.series, key=key),
        risks=outcome.risks,
        frames=tuple(FrameRead(one.digest, one.place) for one in outcome.frames),
    )
    owner = read.patient or reader.owners.get(read.instance) or reader.owners.get(read.series)
    if owner in reader.withdrawn:
        return name, FileRead("withdrawn")
    reader.readings.keep(name, read, [one.plane for one in outcome.frames])
    if outcome.pages:
        _quarantine(name, read, outcome.pages, owner=owner, reader=reader)
    return name, read


def _series(series: str, *, key: bytes) -> str:
    return keyed_name(series.encode(), key=key, purpose="instance") if series else ""


def _quarantine(
    name: str,
    read: FileRead,
    pages: tuple[bytes, ...],
    *,
    owner: Pseudonym | None,
    reader: Reader,
) -> None:
    decision = reader.decided.get(name)
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
