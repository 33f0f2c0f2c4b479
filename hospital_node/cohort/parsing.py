"""A file's bytes become the listed attributes, still undecoded; what is not whole is refused.

* Nothing is asked of memory before its size is known to be bounded, deflated data sets included.
* Only listed attributes are kept. Nested sequences are walked over by pydicom, and dropped.
* A file that ends early is told from one that is whole: pydicom itself reads it without complaint.
"""

import errno
import hashlib
import logging
import os
import re
import stat
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from hospital_node.cohort.deidentification import Malformed, raw_element
from hospital_node.cohort.reasons import NotUsed, Unfit

__all__ = [
    "MAX_FILE_BYTES",
    "Parsed",
    "attempted",
    "content_digest",
    "parsed",
    "refuse_unread",
    "transfer_syntax",
]

T = TypeVar("T")

MAX_FILE_BYTES = 3 * 2**27
HEADER_FIRST_BYTES = 2**24
"""Above this size a file's header is judged before the rest of it is read."""
_ELEMENT_HEAD = 8
_UNDEFINED = 0xFFFFFFFF
_START_BYTES = 2**16

for _name in ("openjpeg", "pydicom", "pylibjpeg"):
    # Their complaints quote values of the file.
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


def attempted(work: Callable[[], T]) -> T | NotUsed:
    """Return what reading one file gave, or the coded reason why it gave nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the file
            return work()
    except Unfit as unfit:
        return unfit.reason
    except Malformed:
        return NotUsed("attribute-malformed")
    except MemoryError:
        return NotUsed("over-memory")
    except Exception:  # noqa: BLE001 - hostile bytes can make a parser raise anything, and cost one file
        return NotUsed("unreadable")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The listed attributes of a whole file, and the digest of its bytes."""

    dataset: Dataset
    digest: bytes


def content_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unfit("not-a-file" if error.errno in _NO_FILE else "unreadable") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unfit("not-a-file")
        if found.st_size > MAX_FILE_BYTES:
            raise Unfit("too-large")
        content = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            content.update(chunk)
        return content.digest()
    except OSError:
        raise Unfit("unreadable") from None
    finally:
        os.close(descriptor)


_CHUNK_BYTES = 2**20
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENOENT}
"""A link, a socket or pipe that nobody serves, or nothing."""


def transfer_syntax(path: Path) -> str:
    """Return the transfer syntax that a file names near its start, or nothing."""
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            found = _SYNTAX.search(file.read(_META_BYTES))
    except OSError:
        return ""
    return found[1].decode() if found else ""


_META_BYTES = 2**11
_SYNTAX = re.compile(rb"\x02\x00\x10\x00UI..([0-9.]{1,64})", re.DOTALL)
"""Transfer Syntax UID in the file meta information, which is explicit little endian always."""


def refuse_unread(path: Path) -> None:
    """Refuse what is no regular file, or too large to be looked at."""
    if path.is_symlink() or not path.is_file():
        raise Unfit("not-a-file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Unfit("too-large")


def parsed(path: Path, *, tags: list[int], judge: Callable[[Dataset], object]) -> Parsed:
    """Parse the attributes with these tags; of a large file only after `judge` saw its header."""
    refuse_unread(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
        if start[128:132] != b"DICM":
            raise Unfit("not-dicom")
        is_deflated = DeflatedExplicitVRLittleEndian.encode() in start
        if size > HEADER_FIRST_BYTES and not is_deflated:
            file.seek(0)
            judge(dcmread(file, stop_before_pixels=True, specific_tags=tags))
        file.seek(0)
        content = file.read()
    if is_deflated:
        _bound_inflation(content)
    stream = _Watched(content)
    dataset = dcmread(stream, specific_tags=tags)
    if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise Unfit("dicomdir")
    if not is_deflated and not (stream.is_spent and _is_whole(dataset)):
        raise Unfit("truncated")
    return Parsed(dataset, hashlib.sha256(content).digest())


class _Watched(BytesIO):
    """Bytes that notice how their reader came to the end."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._size = len(content)
        self._short: list[tuple[int, bytes]] = []

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and remember when an element's head was not there in full."""
        got = super().read(size)
        if size is not None and 0 < size <= _ELEMENT_HEAD and len(got) < size:
            self._short.append((self.tell(), got))
        return got

    @property
    def is_spent(self) -> bool:
        """Say whether the reader stopped once, at the end, where an element's head could stand.

        A nested sequence that is cut off asks twice; an element that is skipped over the end leaves
        the position beyond it; zeros at the end are padding.
        """
        return (
            len(self._short) == 1 and self._short[0][0] == self._size and not any(self._short[0][1])
        )


def _is_whole(dataset: Dataset) -> bool:
    """Say whether every kept value is as long as it was said to be."""
    return all(
        len(one.value or b"") == one.length
        for tag in dataset.keys()  # noqa: SIM118 - tags, not elements
        if (one := raw_element(dataset, tag)) is not None and one.length != _UNDEFINED
    )


def _bound_inflation(content: bytes) -> None:
    """Refuse a deflated data set that would grow beyond the limit, or ends early (PS3.5 A.5).

    The file meta information is never deflated; its first element says how long it is (PS3.10
    section 7.1).
    """
    start = 144 + int.from_bytes(content[140:144], "little")
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for offset in range(start, len(content), 2**14):
        size += len(inflater.decompress(content[offset : offset + 2**14]))
        if size > MAX_FILE_BYTES:
            raise Unfit("too-large")
    if not inflater.eof:
        raise Unfit("truncated")
