"""Where fetched objects arrive: only what is wanted, and is what it was asked as, is kept.

* The identity in a file's own header is compared with the archive's listing before it is kept.
* An object has a greatest size. A disk that cannot take it stops the fetch, not only the object.
* Bytes are parsed no further than the identifiers, from a bounded beginning of the file.
"""

import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian

from hospital_node.cohort.sources.spool import Spool

__all__ = ["MAX_OBJECT_BYTES", "Inbox", "Instance"]

MAX_OBJECT_BYTES = 2**29
_BEGINNING_BYTES = 2**20
_IDENTITY = (0x00080018, 0x00100020, 0x0020000D, 0x0020000E)
"""SOP Instance UID, Patient ID, Study and Series Instance UID."""
_SYNTAX, _CHARACTERS = 0x00020010, 0x00080005
_META, _LENGTH = 132, 140
"""Where the file meta information begins, and the value of its first element: its length after
that element (PS3.10 section 7.1)."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One object as the archive lists it."""

    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)
    sop_class: str


@dataclass(slots=True)
class Inbox:
    """What is still wanted; threads may put objects into it."""

    spool: Spool
    unasked: int = 0
    wanted: dict[str, Instance] = field(default_factory=dict, repr=False)
    arrived: int = 0
    """Grows with every object that is kept."""
    advance: Callable[[], None] = field(default=lambda: None)
    _broken: OSError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waiting(self) -> int:
        """Count what is still wanted."""
        return len(self.wanted)

    @property
    def is_broken(self) -> bool:
        """Say whether the disk could not take an object."""
        return self._broken is not None

    def wants(self, instance: str) -> bool:
        """Say whether an object is still to come."""
        return instance in self.wanted

    def put(self, instance: str, content: Iterable[bytes]) -> bool:
        """Keep an object that is wanted; say whether it was kept."""
        with self._lock:
            wanted = self.wanted.get(instance)
            if wanted is None:
                self.unasked += 1
                return False
            try:
                return self._kept(wanted, content)
            except OSError as error:
                self._broken = error
                return False

    def refuse_broken(self) -> None:
        """Stop when the disk could not take an object.

        Raises:
            OSError: why not.
        """
        if self._broken is not None:
            raise self._broken

    def _kept(self, wanted: Instance, content: Iterable[bytes]) -> bool:
        arriving, size = self.spool.arriving(), 0
        try:
            with arriving.open("wb") as file:
                for part in content:
                    size += len(part)
                    if size > MAX_OBJECT_BYTES:
                        self.unasked += 1
                        return False
                    file.write(part)
            if not is_of(arriving, wanted):
                self.unasked += 1
                return False
            self.spool.keep(arriving, wanted.instance)
        finally:
            arriving.unlink(missing_ok=True)
        del self.wanted[wanted.instance]
        self.arrived += 1
        self.advance()
        return True


def is_of(path: Path, wanted: Instance) -> bool:
    """Say whether a file's own header has the identity that it was asked as."""
    try:
        header = _header(path)
        found = tuple(str(header.get(tag, "") or "").strip(" \0") for tag in _IDENTITY)
    except Exception:  # noqa: BLE001 - hostile bytes can make a parser raise anything
        return False
    return found == (wanted.instance, wanted.patient, wanted.study, wanted.series)


def _header(path: Path) -> dict[int, object]:
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING_BYTES)
    meta = _parsed(beginning[_META:], UID(ExplicitVRLittleEndian), last=0x0002FFFF)
    syntax = UID(str(meta.TransferSyntaxUID))
    body = beginning[_LENGTH + 4 + int.from_bytes(beginning[_LENGTH : _LENGTH + 4], "little") :]
    if syntax.is_deflated:
        body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, _BEGINNING_BYTES)
    dataset = _parsed(body, syntax, last=_IDENTITY[-1])
    return {tag: dataset[tag].value for tag in _IDENTITY if tag in dataset}


def _parsed(content: bytes, syntax: UID, *, last: int) -> Dataset:
    """Parse what stands before a tag; only identifiers are looked at."""
    return read_dataset(
        BytesIO(content),
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
        stop_when=lambda tag, _representation, _length: tag > last,
        specific_tags=[BaseTag(tag) for tag in (_SYNTAX, _CHARACTERS, *_IDENTITY)],
    )
