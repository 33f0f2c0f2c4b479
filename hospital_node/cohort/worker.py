"""A process that reads files for another one: `python -m hospital_node.cohort.worker`.

* It has at most a gigabyte of address space, a few seconds of computing for each file, and leaves
  no core dump; the kernel ends it when it takes more, whatever a codec is doing.
* Lines on standard input are JSON: a contract, or a path. For each path one message goes back.
* What libraries print goes nowhere, since it may quote a file.
"""

import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hospital_node.cohort.crossing import packed
from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.outlines import Outlines, is_outlines, read_outlines
from hospital_node.cohort.reasons import NotUsed
from schemas.contract import DataContract

__all__ = ["Limits"]

MEMORY_BYTES = 2**30
_BYTES_PER_S = 2**24
"""A larger file has more time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost, and a second more of time for every 16 MiB."""

    computing_s: float = 4.0
    waiting_s: float = 60.0
    """In all, as for a file on a slow disk; an unresponsive one is given up."""

    def longest_s(self, size_bytes: int) -> float:
        """Return how long a file of this size may take in all."""
        return self.waiting_s + size_bytes / _BYTES_PER_S


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    contract: DataContract | None = None
    limits = Limits()
    for line in sys.stdin:
        task = json.loads(line)
        if "contract" in task:
            contract = DataContract.from_canonical(task["contract"].encode())
            limits = Limits(**task["limits"])
        elif contract is not None:
            path = Path(task["path"])
            _set_timers(path, limits)
            _answer(path, contract, answers)


def _answer(path: Path, contract: DataContract, answers: BinaryIO) -> None:
    try:
        pieces = packed(_read(path, contract))
    except MemoryError:
        pieces = packed(NotUsed("over-memory"))
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    answers.writelines(pieces)
    answers.flush()


def _read(path: Path, contract: DataContract) -> Image | Outlines | NotUsed:
    rules = contract.labels.mask
    if rules is not None and is_outlines(path):
        return read_outlines(path, rules)
    return read(path, contract)


def _set_timers(path: Path, limits: Limits) -> None:
    """Let the kernel end this process when the file takes too long.

    The signals keep their default action, which no library can delay. Computing is measured apart
    from waiting, so that a busy machine does not refuse what an idle one reads.
    """
    try:
        more = path.lstat().st_size / _BYTES_PER_S
    except OSError:
        more = 0.0
    signal.setitimer(signal.ITIMER_PROF, limits.computing_s + more)
    signal.setitimer(signal.ITIMER_REAL, limits.waiting_s + more)


if __name__ == "__main__":
    main()
