"""Files are read in processes of their own: what breaks one of them costs one file.

* A worker that dies costs the file at hand, under a code that says how it died; the files after it
  go to a fresh one. Unless it died of the file's time limit the file is tried once more, since
  somebody else may have killed the worker.
* Nothing waits without a bound: a worker that says nothing for longer than it may live is killed.
* Workers outlive an ingest, since one takes half a second to start; they end with this process.
  They are called early, while this process is small and has other work.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, cast

import hospital_node
from hospital_node.cohort.crossing import unpacked
from hospital_node.cohort.dicom import Image
from hospital_node.cohort.outlines import Outlines
from hospital_node.cohort.parsing import MAX_FILE_BYTES
from hospital_node.cohort.reasons import NotUsed
from hospital_node.cohort.worker import Limits
from schemas.contract import DataContract

__all__ = ["call", "dismiss", "read_apart"]

_AHEAD = 4
"""Files that a worker knows of, so that it never waits for the next."""
_GRACE_S = 30.0
"""After the longest that a file may take, a worker that says nothing is given up for dead."""
_CHUNK_BYTES = 2**20


@dataclass(slots=True, eq=False)
class Worker:
    """A running worker, and the files that it was told of, oldest first."""

    process: subprocess.Popen[bytes]
    told: deque[int] = field(default_factory=deque)
    answered: bool = False
    heard: bytearray = field(default_factory=bytearray)

    def tell(self, task: dict[str, object]) -> None:
        """Send one line; a worker that is gone will be noticed when it is heard."""
        line = json.dumps(task).encode() + b"\n"
        try:
            os.write(_end(self.process.stdin), line)
        except BrokenPipeError:
            return

    def end(self) -> int:
        """Make sure that it is gone, and return how it went."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return self.process.wait()


def read_apart(
    paths: Sequence[Path],
    contract: DataContract,
    *,
    workers: int,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Iterator[tuple[int, Image | Outlines | NotUsed]]:
    """Read files in `workers` processes; yield each one's number and outcome, as they come."""
    todo = deque(range(len(paths)))
    again: set[int] = set()
    staff = [_hired(contract, limits) for _ in range(min(workers, len(paths)))]
    try:
        while todo or any(one.told for one in staff):
            for one in staff:
                while todo and len(one.told) < _AHEAD:
                    one.told.append(todo.popleft())
                    one.tell({"path": str(paths[one.told[-1]].absolute())})
            for place, is_alive in _heard(staff, limits):
                one = staff[place]
                for outcome in unpacked(one.heard):
                    one.answered = True
                    yield one.told.popleft(), outcome
                if not is_alive:
                    staff[place] = _told_rules(Worker(_started()), contract, limits)
                    yield from _buried(one, todo, again)
        while staff:
            _IDLE.append(staff.pop())
    finally:
        for one in staff:
            one.end()


def call(workers: int) -> None:
    """Start workers, unless that many wait already; they get ready while this process goes on."""
    while len(_IDLE) < workers:
        _IDLE.append(Worker(_started()))


def _hired(contract: DataContract, limits: Limits) -> Worker:
    """Return a worker that knows the contract: an idle one, or a new one."""
    while _IDLE:
        one = _IDLE.pop()
        if one.process.poll() is None:
            break
        one.end()
    else:
        one = Worker(_started())
    return _told_rules(one, contract, limits)


def _told_rules(one: Worker, contract: DataContract, limits: Limits) -> Worker:
    one.tell({"contract": contract.canonical().decode(), "limits": asdict(limits)})
    return one


def _started() -> subprocess.Popen[bytes]:
    """Start a worker with nothing of this process but its code, and no terminal to interrupt it."""
    packages = str(Path(hospital_node.__file__).resolve().parents[1])
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "PATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "hospital_node.cohort.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pipesize=_PIPE_BYTES,
        cwd="/",
        env=kept | {"PYTHONPATH": packages} | dict.fromkeys(_THREADS, "1"),
        start_new_session=True,
    )


_PIPE_BYTES = 2**18
"""Room for all paths that a worker is told ahead, so that telling never waits for it."""
_THREADS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _heard(staff: Sequence[Worker], limits: Limits) -> Iterator[tuple[int, bool]]:
    """Wait for workers at work; yield the place of each that spoke, and whether it lives on."""
    places = {_end(one.process.stdout): place for place, one in enumerate(staff) if one.told}
    waiting = select.poll()
    for descriptor in places:
        waiting.register(descriptor, select.POLLIN)
    ready = waiting.poll(1000 * (limits.longest_s(MAX_FILE_BYTES) + _GRACE_S))
    if not ready:
        for place in places.values():
            yield place, False
    for descriptor, _ in ready:
        got = os.read(descriptor, _CHUNK_BYTES)
        staff[places[descriptor]].heard += got
        yield places[descriptor], bool(got)


def _buried(one: Worker, todo: deque[int], again: set[int]) -> Iterator[tuple[int, NotUsed]]:
    """Give the file that ended a worker its code, and put those after it back."""
    status = one.end()
    if status == 1 and not one.answered:
        message = "a process that reads files could not start"
        raise RuntimeError(message)
    first, *others = one.told
    todo.extendleft(reversed(others))
    code = _DEATHS.get(status, "codec-crash")
    if code != "over-time" and first not in again:
        again.add(first)
        todo.appendleft(first)
        return
    yield first, NotUsed(code)


_DEATHS = {
    -signal.SIGPROF: "over-time",
    -signal.SIGALRM: "over-time",
    -signal.SIGKILL: "over-memory",  # who else kills is the kernel, short of memory
}


def _end(pipe: IO[bytes] | None) -> int:
    return cast("IO[bytes]", pipe).fileno()


_IDLE: list[Worker] = []


@atexit.register
def dismiss() -> None:
    """End the workers that wait for the next ingest."""
    while _IDLE:
        _IDLE.pop().end()
