"""The processes that read files for this one: which they are, and how much memory they took."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pytest

from hospital_node.cohort import workers

_MODULE = b"hospital_node.cohort.worker"
_EVERY_S = 0.02


def readers() -> set[int]:
    """Return the readers that this process has now, and none of its other children."""
    listed = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {
        int(one)
        for path in listed
        for one in _read(path).split()
        if _MODULE in _read(Path("/proc") / one.decode() / "cmdline")
    }


@dataclass
class Peak:
    """The most memory that a reader held, in kilobytes; the kernel keeps each one's peak."""

    kilobytes: int = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch the readers' memory while the block runs."""
    peak, is_over = Peak(), Event()

    def watch() -> None:
        while not is_over.wait(_EVERY_S):
            _look(peak)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield peak
        _look(peak)
    finally:
        is_over.set()
        watcher.join()


def _look(peak: Peak) -> None:
    for one in readers():
        for line in _read(Path(f"/proc/{one}/status")).splitlines():
            if line.startswith(b"VmHWM:"):
                peak.kilobytes = max(peak.kilobytes, int(line.split()[1]))


def _read(path: Path) -> bytes:
    with suppress(OSError):  # it ended meanwhile
        return path.read_bytes()
    return b""


@contextmanager
def killed(how: signal.Signals) -> Iterator[None]:
    """Kill each reader in the moment before it is told of a file."""
    tell = workers.Worker.tell

    def told(one: workers.Worker, task: dict[str, object]) -> None:
        if "path" in task:
            one.process.send_signal(how)
            os.waitid(os.P_PID, one.process.pid, os.WEXITED | os.WNOWAIT)
        tell(one, task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers.Worker, "tell", told)
        yield
