"""Durable files: written whole or not at all, and private where they must be.

* A file appears under its name only after its bytes and its folder entry are on disk.
* One command at a time owns a home directory; a second one is told so at once.
* A home is made whole: its settings file, without which it is none, comes last.
* A large file's pages are let go of once they are on disk: the next one gets them again, which is
  several times faster than pages that no one has touched before.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from filelock import FileLock, Timeout

from schemas.errors import HomeRefused

_LOCK, _MAKING = ".lock", ".making"

Owner: TypeAlias = Literal["command", "service"]
_LOCKS: dict[Owner, str] = {"command": _LOCK, "service": ".serving.lock"}

_LARGE_BYTES = 2**20


def write_durably(path: Path, *parts: bytes | memoryview, mode: int = 0o644) -> None:
    """Replace a file by these bytes; after a crash it holds the old or the new ones, whole."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            if file.tell() >= _LARGE_BYTES:
                _let_go(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _let_go(descriptor: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; the entry of each new one is on disk when this returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_plain(path: Path) -> bytes:
    """Return the bytes of a file; a pipe or a device, which may never end, is not opened.

    Raises:
        HomeRefused: something else than a file stands there.
        OSError: missing, or not readable.
    """
    if path.exists() and not path.is_file():
        message = f"home refused: {path.name} is a folder, a pipe or a device, not a file"
        raise HomeRefused(message, next_step="move it away, and restore the file from a backup")
    return path.read_bytes()


def read_settings(path: Path) -> str:
    """Return the text of a home's settings, which a person may have edited.

    Raises:
        HomeRefused: not a file, not text in UTF-8, or not readable by this account.
        FileNotFoundError: missing.
    """
    try:
        content = read_plain(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError from None
    except OSError as error:
        message = f"home refused: {path.name} cannot be read ({error.strerror})"
        step = "run this as the account that the home belongs to"
        raise HomeRefused(message, next_step=step) from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"home refused: {path.name} is not text in UTF-8 (line {line})"
        step = "save it as UTF-8, or restore it from a backup"
        raise HomeRefused(message, next_step=step) from None


def read_private(path: Path) -> bytes:
    """Return the bytes of a secret file.

    Raises:
        HomeRefused: missing, no file, or readable by others than its owner.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        message = f"key refused: {path.name} is missing from this home"
        raise HomeRefused(
            message, next_step="restore it from a backup, or make a new home"
        ) from None
    if mode & 0o077:
        message = f"key refused: {path.name} has mode {mode:04o}, only 0600 is allowed"
        raise HomeRefused(message, next_step=f"chmod 600 {path.name}, and ask who could read it")
    return read_plain(path)


@contextmanager
def owned(home: Path, *, by: Owner = "command") -> Iterator[None]:
    """Own a home directory for the length of a command; a service lets commands own it between.

    Raises:
        HomeRefused: another command owns it, or it is missing or cannot be written.
    """
    if not home.is_dir():  # the lock would make it
        message = f"home refused: {home.name} is not a directory"
        raise HomeRefused(message, next_step="check --home, or make a new home with init")
    lock = FileLock(home / _LOCKS[by], timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        message = f"home refused: {home.name} is in use by another {by}, one at a time is allowed"
        raise HomeRefused(message, next_step=f"wait for the other {by} to end, or end it") from None
    except OSError as error:
        message = f"home refused: {home.name} cannot be written ({error.strerror})"
        raise HomeRefused(message, next_step="check that it exists and belongs to you") from None
    try:
        yield
    finally:
        lock.release()


def make_whole(root: Path, fill: Callable[[Path], None], *, last: str) -> None:
    """Fill a new or empty directory; the file `last` appears in it when all else stands there.

    `fill` writes into a folder inside it, `last` at its end, and the entries are then moved up.
    After a kill the same call begins anew, or moves up what is left; it deletes nothing but what an
    unfinished `fill` wrote.

    Raises:
        HomeRefused: not a directory, in use, or not empty.
    """
    _refuse_occupied(root, last=last)
    make_folder(root)
    root.chmod(0o700)
    with owned(root):
        _refuse_occupied(root, last=last)
        place = root / _MAKING
        if not (place / last).exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(mode=0o700)
            fill(place)
        for name in sorted({path.name for path in place.iterdir()} - {last}):
            (place / name).rename(root / name)
        sync_folder(root)
        (place / last).rename(root / last)
        place.rmdir()
        sync_folder(root)


def _refuse_occupied(root: Path, *, last: str) -> None:
    if not root.exists():
        return
    found = {path.name for path in root.iterdir()} - {_LOCK, _MAKING} if root.is_dir() else {""}
    making = root / _MAKING
    if (making / last).exists():  # a kill while the entries were moved up
        found &= {path.name for path in making.iterdir()}
    if found:
        message = (
            f"home refused: {root.name} exists and is not empty, "
            "only a new or empty directory is allowed"
        )
        raise HomeRefused(message, next_step="choose another --home")
