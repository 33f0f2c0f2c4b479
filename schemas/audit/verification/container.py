"""The container of a bundle: a zip file of stored files in the one form that is accepted.

* Names are sorted, contents are not compressed, and every other field has one value, so a byte that
  differs anywhere is noticed.
* Reading never holds more than a piece of a file.
* Only the standard library: a reviewer needs nothing else.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_FIXED = struct.pack("<HHHHH", 20, 0x0800, 0, 0, 0x21)
"""Version 2.0, names in UTF-8, stored, midnight, 1 January 1980 (APPNOTE 4.4)."""
_MADE_BY = struct.pack("<H", 0x0314)
_MODE = 0o100644 << 16
_LOCAL_BYTES = 30
_MOST_NAME = 200
_PIECE = 1 << 20
_MOST_BYTES = 2**32 - 1
MOST_LINE = 1 << 24
"""Bytes of one event; what is longer is refused, and not gathered."""


class NotABundle(Exception):
    """The file has another form than a bundle's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: where its bytes stand in the container."""

    name: str
    start: int
    size: int
    crc: int


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a container with these files."""
    pieces, entries, place = list[bytes](), list[Entry](), 0
    for name in sorted(files):
        content = files[name]
        entry = Entry(name, place, len(content), zlib.crc32(content))
        pieces += [_local(entry), content]
        entries.append(entry)
        place += _LOCAL_BYTES + len(name.encode()) + len(content)
    whole = b"".join((*pieces, _directory(entries, place)))
    if len(whole) > _MOST_BYTES:
        message = "a bundle holds at most 4 GiB"
        raise ValueError(message)
    return whole


class Container:
    """An open container."""

    def __init__(self, path: Path) -> None:
        """Open a container and hold its form.

        Raises:
            NotABundle: another form; the message names the first byte that differs.
        """
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            message = f"it cannot be read ({error.strerror})"
            raise NotABundle(message) from None
        try:
            self.entries = {one.name: one for one in _entries(self._file)}
        except NotABundle:
            self._file.close()
            raise

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes, piece by piece; none when it is not there."""
        entry = self.entries.get(name)
        left, place = (0, 0) if entry is None else (entry.size, entry.start)
        while left:
            self._file.seek(place)
            piece = self._file.read(min(left, _PIECE))
            if not piece:
                return
            yield piece
            left, place = left - len(piece), place + len(piece)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield a file's lines without their ends; a last one without an end is yielded too.

        Raises:
            NotABundle: a line of more bytes than an event has.
        """
        rest = b""
        for piece in self.pieces(name):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
            if len(rest) > MOST_LINE:
                message = f"a line of {name} is longer than {MOST_LINE} bytes"
                raise NotABundle(message)
        if rest:
            yield rest

    def read(self, name: str) -> bytes:
        """Return a small file's bytes; none when it is not there."""
        return b"".join(self.pieces(name))

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _entries(file: BinaryIO) -> list[Entry]:
    entries, place = list[Entry](), 0
    while True:
        file.seek(place)
        header = file.read(_LOCAL_BYTES + _MOST_NAME)
        if not header.startswith(_LOCAL):
            break
        entry = _entry(header, place)
        if header[: entry.start - place] != _local(entry):
            message = f"the header of a file differs, from byte {place} on"
            raise NotABundle(message)
        entries.append(entry)
        place = entry.start + entry.size
    file.seek(place)
    directory = _directory(entries, place)
    if not entries or file.read(len(directory) + 1) != directory:
        message = f"the list of files differs, from byte {place} on"
        raise NotABundle(message)
    if [one.name for one in entries] != sorted({one.name for one in entries}):
        message = "the files are not in order, or one stands twice"
        raise NotABundle(message)
    return entries


def _entry(header: bytes, place: int) -> Entry:
    try:
        crc, size, _, length, _ = struct.unpack("<IIIHH", header[14:_LOCAL_BYTES])
        name = header[_LOCAL_BYTES : _LOCAL_BYTES + length].decode()
    except (struct.error, UnicodeDecodeError):
        message = f"the header of a file cannot be read, from byte {place} on"
        raise NotABundle(message) from None
    return Entry(name, place + _LOCAL_BYTES + length, size, crc)


def _local(entry: Entry) -> bytes:
    name = entry.name.encode()
    sizes = struct.pack("<IIIHH", entry.crc, entry.size, entry.size, len(name), 0)
    return _LOCAL + _FIXED + sizes + name


def _directory(entries: list[Entry], place: int) -> bytes:
    rows, at = list[bytes](), 0
    for one in entries:
        name = one.name.encode()
        sizes = struct.pack("<IIIHHHHH", one.crc, one.size, one.size, len(name), 0, 0, 0, 0)
        rows.append(_CENTRAL + _MADE_BY + _FIXED + sizes + struct.pack("<II", _MODE, at) + name)
        at += _LOCAL_BYTES + len(name) + one.size
    whole = b"".join(rows)
    count = len(entries)
    return whole + _END + struct.pack("<HHHHIIH", 0, 0, count, count, len(whole), place, 0)
