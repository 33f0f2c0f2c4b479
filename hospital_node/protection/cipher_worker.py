"""A process that encrypts, adds and decrypts for a node: `python -m …protection.cipher_worker`.

* Native code may hold its interpreter's lock as long as it likes, and may die of hostile bytes:
  the node goes on. Hostile code is not contained: the process has the node's own account.
* It has at most four gigabytes of address space, leaves no core dump, and what libraries print
  goes nowhere.
* A task on standard input is a line of JSON and parts of bytes; so is its answer. A part of an
  answer leaves as soon as it is made.
* The key that it was given last stays in its memory until a sum was opened with it, and nowhere
  else.
"""

import json
import os
import resource
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from hospital_node.protection import ckks
from hospital_node.protection.crossing import write

MEMORY_BYTES = 2**32


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tasks = sys.stdin.buffer
    for line in tasks:
        task = json.loads(line)
        parts = [tasks.read(size) for size in task["parts"]]
        try:
            _answer(answers, _done(task, parts))
        except ckks.MalformedCiphertext as error:
            write(answers, {"fault": error.args[0]})
        except MemoryError:
            write(answers, {"fault": None})


def _done(task: dict[str, Any], parts: list[bytes]) -> Iterable[bytes]:
    match task["task"]:
        case "key":
            return [ckks.new_key()]
        case "encrypt":
            return ckks.encrypted(parts[0], np.frombuffer(parts[1], dtype=np.float64))
        case "add":
            return ckks.summed(list(_columns(parts, task["columns"])), task["size"])
        case "decrypt":
            values = ckks.decrypted(parts[0], parts[1:], task["size"])
            ckks.forget()
            return [values.tobytes()]
        case unknown:
            message = f"no such task: {unknown}"
            raise ValueError(message)


def _columns(parts: list[bytes], columns: list[int]) -> Iterator[list[bytes]]:
    """Yield as many parts as each column has."""
    start = 0
    for count in columns:
        yield parts[start : start + count]
        start += count


def _answer(answers: IO[bytes], parts: Iterable[bytes]) -> None:
    for one in parts:
        write(answers, {"size": len(one)}, one)
    write(answers, {"done": True})


if __name__ == "__main__":
    main()
