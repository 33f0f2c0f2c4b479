"""A zip archive, opened so that nothing in it decides where or how much is written.

* A member is written under a number; its own name is never used as a path.
* Sizes are bounded by the archive's claims before anything is written, and by what comes out while
  it is: a lie costs the archive, never the disk.
* An archive with any fault is refused whole. One inside another is a file like any other.
"""

import shutil
import zipfile
import zlib
from pathlib import Path
from typing import IO

from schemas.errors import InputRefused, SourceEmpty

__all__ = ["is_zip", "unpacked"]

MAX_MEMBERS = 1_000_000
MAX_MEMBER_BYTES = 2**29
MAX_RATIO = 250
"""Of all bytes out over all bytes in; images seldom reach ten."""
RESERVE_BYTES = 2**30
"""What stays free on the disk."""
_MAGIC = b"PK\x03\x04"
_EMPTY = b"PK\x05\x06"
_IS_ENCRYPTED = 0x1
_CHUNK_BYTES = 2**20


def is_zip(path: Path) -> bool:
    """Say whether a file begins as a zip archive does."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in {_MAGIC, _EMPTY}


def unpacked(path: Path, folder: Path, number: int) -> int:
    """Write every member to `folder` under the numbers after `number`; return the last one.

    Raises:
        InputRefused: damaged, encrypted, or over a limit.
        SourceEmpty: no file in it.
        OSError: the disk cannot take it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            _bounded(members, path, folder)
            for number, member in enumerate(members, start=number + 1):  # noqa: B020, PLR1704 - counts on
                with archive.open(member) as content:
                    _written(content, folder / f"{number:08d}", member.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        message = "zip archive refused: damaged, encrypted, or of a compression that is not read"
        raise InputRefused(message, next_step="unpack it, and name the folder") from None
    if not members:
        message = "source refused: found no file in a zip archive; at least one is needed"
        raise SourceEmpty(message, next_step="check that the export ended")
    return number


def _bounded(members: list[zipfile.ZipInfo], path: Path, folder: Path) -> None:
    total, stored = sum(one.file_size for one in members), path.stat().st_size
    room = shutil.disk_usage(folder).free - RESERVE_BYTES
    for found, fault, allowed in (
        (len(members), "members", MAX_MEMBERS),
        (
            max((one.file_size for one in members), default=0),
            "bytes in one member",
            MAX_MEMBER_BYTES,
        ),
        (total, "bytes in all", stored * MAX_RATIO),
        (total, "bytes in all, beside what must stay free on this disk", max(room, 0)),
    ):
        if found > allowed:
            message = f"zip archive refused: {found} {fault}, at most {allowed} are allowed"
            raise InputRefused(message, next_step="unpack it yourself, and name the folder")
    if any(one.flag_bits & _IS_ENCRYPTED for one in members):
        message = "zip archive refused: it is encrypted, only a plain one is read"
        raise InputRefused(message, next_step="unpack it, and name the folder")


def _written(content: IO[bytes], target: Path, claimed: int) -> None:
    size = 0
    with target.open("wb") as file:
        target.chmod(0o600)
        while part := content.read(_CHUNK_BYTES):
            size += len(part)
            if size > claimed:
                message = "more bytes than claimed"
                raise zipfile.BadZipFile(message)
            file.write(part)
    if size != claimed:
        message = "fewer bytes than claimed"
        raise zipfile.BadZipFile(message)
