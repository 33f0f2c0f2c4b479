"""The passphrase that keys at rest are under: where it comes from, and never by which way.

In this order, the first that is there:

* `CONSILIUM_PASSPHRASE_FD`: the number of an open file descriptor that it is read from, once.
* `CONSILIUM_PASSPHRASE_FILE`: a file that only its owner can read.
* A systemd credential named `consilium-passphrase` (`LoadCredential=`, `LoadCredentialEncrypted=`).
* A person at a terminal.

It is never an argument, and no message, log or file holds it. The variables say where it is.
"""

import os
import sys
from functools import cache
from getpass import getpass
from pathlib import Path

from schemas.errors import HomeRefused, InputRefused
from schemas.files import read_private

DESCRIPTOR, FILE = "CONSILIUM_PASSPHRASE_FD", "CONSILIUM_PASSPHRASE_FILE"
CREDENTIAL = "consilium-passphrase"
LEAST_CHARACTERS = 12

_MOST_BYTES = 4096

_typed_before: dict[str, bytes] = {}
"""What a person typed in this process, by what it was asked for: nobody is asked twice."""


def passphrase(*, asked_for: str) -> bytes:
    """Return the passphrase; a person at a terminal is told what it is asked for.

    Raises:
        HomeRefused: it comes from nowhere, or from a file that others can read.
    """
    found = _given()
    if found is None and sys.stdin.isatty():
        found = _typed(asked_for)
    if not found:
        message = "key refused: this home's keys are under a passphrase, and none was given"
        next_step = (
            f"name a private file in {FILE} or a descriptor in {DESCRIPTOR}, "
            f"set the systemd credential {CREDENTIAL}, or run it at a terminal"
        )
        raise HomeRefused(message, next_step=next_step)
    return found


def new_passphrase(*, asked_for: str) -> bytes:
    """Return the passphrase that keys shall be under; a person types it twice.

    Raises:
        HomeRefused: it comes from nowhere, or from a file that others can read.
        InputRefused: too short, or typed differently the second time.
    """
    found = _given()
    if found is None and sys.stdin.isatty():
        found = getpass(f"New passphrase for {asked_for}: ").encode()
        if getpass("The same again: ").encode() != found:
            message = "passphrase refused: the second one differs from the first"
            raise InputRefused(message, next_step="try again")
        _typed_before[asked_for] = found
    chosen = found or passphrase(asked_for=asked_for)
    if len(chosen.decode(errors="replace")) < LEAST_CHARACTERS:
        message = f"passphrase refused: at least {LEAST_CHARACTERS} characters are needed"
        raise InputRefused(message, next_step="choose a longer one, such as five random words")
    return chosen


def _given() -> bytes | None:
    """Return what was given without a person; None: nothing was."""
    if number := os.environ.get(DESCRIPTOR):
        return _line(_read_once(number))
    if name := os.environ.get(FILE):
        if not Path(name).exists():
            message = f"passphrase refused: {FILE} names no file that is here"
            raise HomeRefused(message, next_step="name a file of mode 0600 that holds it")
        return _line(read_private(Path(name)))
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL if folder else None
    return _line(path.read_bytes()) if path is not None and path.exists() else None


def _typed(asked_for: str) -> bytes:
    if asked_for not in _typed_before:
        _typed_before[asked_for] = getpass(f"Passphrase for {asked_for}: ").encode()
    return _typed_before[asked_for]


@cache
def _read_once(number: str) -> bytes:
    try:
        with os.fdopen(int(number), "rb") as file:
            return file.read(_MOST_BYTES)
    except (ValueError, OSError):
        message = f"passphrase refused: {DESCRIPTOR} names no descriptor that can be read"
        raise HomeRefused(message, next_step=f"open one: {DESCRIPTOR}=3 COMMAND 3<FILE") from None


def _line(content: bytes) -> bytes:
    return content.partition(b"\n")[0].rstrip(b"\r")
