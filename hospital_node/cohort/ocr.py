"""Whether a program can read text in a picture: tesseract, where the contract asks for it.

* The picture goes over a pipe; nothing is written to disk, and nothing that was read is kept or
  told, only that there is text.
* A word counts from three characters and a confidence of 60: below it, noise has words too.
* The program finds large print. What it does not find may still be there.
"""

import resource
import shutil
import subprocess

from schemas.contract import DataContract
from schemas.errors import InputRefused

__all__ = ["has_text", "refuse_missing"]

_PROGRAM = "tesseract"
_COMPUTING_S = 20
_WAITING_S = 40.0
_LEAST_CONFIDENCE = 60.0
_LEAST_CHARACTERS = 3
_CONFIDENCE, _WORD = 10, 11
"""Columns of its table."""


def refuse_missing(contract: DataContract) -> None:
    """Refuse a contract that needs the program where it is not installed.

    Raises:
        InputRefused: it is not.
    """
    if contract.deidentification.ocr == "tesseract" and shutil.which(_PROGRAM) is None:
        message = "contract refused: it has pixels searched for text, tesseract is not installed"
        raise InputRefused(message, next_step="install it: apt install tesseract-ocr")


def has_text(page: bytes) -> bool:
    """Say whether words can be read in a picture.

    Raises:
        OSError: the program could not read the picture.
        subprocess.TimeoutExpired: it took too long.
    """
    with subprocess.Popen(  # noqa: S603 - our own words
        [_PROGRAM, "stdin", "stdout", "--psm", "11", "tsv"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as program:
        # It ends by itself even if this process is ended first.
        resource.prlimit(program.pid, resource.RLIMIT_CPU, (_COMPUTING_S, _COMPUTING_S))
        try:
            table, _ = program.communicate(page, timeout=_WAITING_S)
        finally:
            program.kill()
    if program.returncode:
        message = "a picture could not be searched for text"
        raise OSError(message)
    return any(_is_word(line.split(b"\t")) for line in table.splitlines()[1:])


def _is_word(cells: list[bytes]) -> bool:
    return (
        len(cells) > _WORD
        and float(cells[_CONFIDENCE]) >= _LEAST_CONFIDENCE
        and len(cells[_WORD].decode(errors="replace").strip()) >= _LEAST_CHARACTERS
    )
