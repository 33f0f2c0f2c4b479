"""Processes that start from one which has loaded the libraries already: seconds less for each.

They are processes like any other, with files, signals and an end of their own. What a process
loads, or how much memory it takes, is tested with one that starts from nothing.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path

LIBRARIES = ["aggregator.flower.leading", "hospital_node.flower.serving", "hospital_node.session"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(LIBRARIES)


@dataclass(slots=True)
class Forked:
    """A process that was started so, under the names that `subprocess` has."""

    process: ForkServerProcess

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return how."""
        self.process.join(timeout)
        if (status := self.process.exitcode) is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def forked(side: str, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
    """Start a side's command, with its output at the end of a file."""
    process = _context.Process(target=_run, args=(side, words, log, dict(environment)), name=side)
    process.start()
    return Forked(process)


def _run(side: str, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("error", ResourceWarning)
    sys.argv = [side, *words]
    sys.exit(import_module(f"{side}.cli").main())
