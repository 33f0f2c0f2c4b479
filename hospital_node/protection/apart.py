"""Encrypting, adding and decrypting in a process of its own, so that the node stays responsive.

* A process serves one task at a time and waits for the next, since one takes half a second to
  start; it ends with this one.
* Nothing waits without a bound: a process that takes too long is ended, and its task refused.
* Waiting holds no interpreter lock: heartbeats and other nodes go on.
"""

import atexit
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

import hospital_node
from hospital_node.protection.crossing import write
from schemas.errors import ArraysRefused, FederationError, PartRefused
from schemas.names import SiteName

__all__ = [
    "decrypted",
    "dismiss",
    "encrypted",
    "hold_installed",
    "idle",
    "malformed",
    "new_key",
    "summed",
]

_FIXED_S = 120.0
_PER_MEGABYTE_S = 1.0
"""A hundred times what a task takes: only a process that hangs meets it."""
_PIPE_BYTES = 2**20
_THREADS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def new_key() -> bytes:
    """Make a secret key.

    Raises:
        FederationError: no TenSEAL here, or the process ended.
    """
    [key] = _asked({"task": "key"}, ())
    return key


def encrypted(key: bytes, values: NDArray[np.float64]) -> list[bytes]:
    """Return the ciphertexts of finite values.

    Raises:
        ArraysRefused: no key of the expected parameters.
        FederationError: no TenSEAL here, or the process ended.
    """
    try:
        return _asked({"task": "encrypt"}, (key, np.ascontiguousarray(values).data))
    except _Malformed:
        raise _refused("the run's key is not one of the expected parameters") from None


def summed(columns: Mapping[SiteName, Sequence[bytes]], size: int) -> list[bytes]:
    """Return the sum of the sites' ciphertexts, in the order of their names.

    Raises:
        PartRefused: those of some site are no fresh ciphertexts of `size` values.
        FederationError: no TenSEAL here, or the process ended.
    """
    sites = sorted(columns)
    task = {"task": "add", "size": size, "columns": [len(columns[site]) for site in sites]}
    try:
        return _asked(task, [one for site in sites for one in columns[site]])
    except _Malformed as error:
        raise malformed(sites[error.place]) from None


def decrypted(key: bytes, total: Sequence[bytes], size: int) -> NDArray[np.float64]:
    """Return the values of a sum, which must be this node's own recomputation.

    Raises:
        ArraysRefused: no such sum, or no key of the expected parameters.
        FederationError: no TenSEAL here, or the process ended.
    """
    try:
        [content] = _asked({"task": "decrypt", "size": size}, (key, *total))
    except _Malformed:
        raise _refused("sum or key are not of the expected parameters") from None
    return np.frombuffer(content, dtype=np.float64)


def hold_installed() -> None:
    """Hold that what computes on ciphertexts is installed here; it is not loaded.

    Raises:
        FederationError: it is not.
    """
    if importlib.util.find_spec("tenseal") is None:
        message = "encryption refused: TenSEAL is not installed at this node"
        raise FederationError(message, next_step="pip install 'consilium[node,encryption]'")


class _Malformed(Exception):
    """What was handed in is malformed; `place` is that of the column."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


def _asked(task: dict[str, Any], parts: Sequence[bytes | memoryview]) -> list[bytes]:
    """Give a process one task and return the parts of its answer."""
    sizes = [memoryview(one).nbytes for one in parts]
    with _hired() as process, _limited(process, _FIXED_S + _PER_MEGABYTE_S * sum(sizes) / 2**20):
        try:
            tasks = _end(process.stdin)
            write(tasks, task | {"parts": sizes}, *parts)
            tasks.flush()
            found = list(_heard(_end(process.stdout)))
        except BrokenPipeError:
            raise _lost() from None
    return found


def _heard(answers: IO[bytes]) -> Iterator[bytes]:
    while line := answers.readline():
        head = json.loads(line)
        if "done" in head:
            return
        if "fault" in head:
            if head["fault"] is None:
                break
            raise _Malformed(head["fault"])
        content = answers.read(head["size"])
        if len(content) != head["size"]:
            break
        yield content
    raise _lost()


@contextmanager
def _hired() -> Iterator[subprocess.Popen[bytes]]:
    """Lend an idle process, or a new one; one that did not finish its task in order is ended."""
    hold_installed()
    process = _idle() or _started()
    is_whole = False
    try:
        yield process
        is_whole = True
    except _Malformed:
        is_whole = True
        raise
    finally:
        if is_whole:
            _IDLE.append(process)
        else:
            _ended(process)


@contextmanager
def _limited(process: subprocess.Popen[bytes], longest_s: float) -> Iterator[None]:
    timer = Timer(longest_s, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _idle() -> subprocess.Popen[bytes] | None:
    while True:
        try:
            process = _IDLE.pop()
        except IndexError:  # none, or another thread was first
            return None
        if process.poll() is None:
            return process
        _ended(process)


def _started() -> subprocess.Popen[bytes]:
    """Start a process with nothing of this one but its code, and no terminal to interrupt it."""
    packages = str(Path(hospital_node.__file__).resolve().parents[1])
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "PATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "hospital_node.protection.cipher_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=_PIPE_BYTES,
        cwd="/",
        env=kept | {"PYTHONPATH": packages} | dict.fromkeys(_THREADS, "1"),
        start_new_session=True,
    )


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # what a task left in the buffer goes nowhere
            _end(pipe).close()
    process.wait()


def _end(pipe: IO[bytes] | None) -> IO[bytes]:
    return cast("IO[bytes]", pipe)


def malformed(site: SiteName) -> PartRefused:
    """Return the refusal of a site's ciphertexts."""
    message = f"sum refused: the ciphertexts of {site} are malformed"
    next_step = "nothing was opened; resume the run, which leaves out a site that a third name"
    return PartRefused(message, site=site, next_step=next_step)


def _refused(found: str) -> ArraysRefused:
    message = f"sum refused: {found}"
    return ArraysRefused(message, next_step="nothing was opened; resume the run")


def _lost() -> FederationError:
    message = "sum refused: the process that computes on ciphertexts ended before its task"
    return FederationError(message, next_step="nothing was opened; resume the run")


_IDLE: list[subprocess.Popen[bytes]] = []


def idle() -> list[int]:
    """Return the ids of the processes that wait."""
    return [process.pid for process in _IDLE]


@atexit.register
def dismiss() -> None:
    """End the processes that wait."""
    while _IDLE:
        _ended(_IDLE.pop())
