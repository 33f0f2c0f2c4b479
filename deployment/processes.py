"""Commands as processes of their own, of which none outlives whoever started them.

* Each has a session of its own: Control-C reaches the starter alone, which ends the others in
  order.
* One that does not end when it is told to is killed, with whatever it started.
* What a process says goes to a log of its name.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from deployment.attended import GRACE_S
from schemas.errors import PeerRefused
from schemas.names import Name

PAUSE_S = 0.1
"""Between two looks at the processes."""

_LAST_LINES = 3

Process: TypeAlias = subprocess.Popen[bytes]


@dataclass(slots=True)
class Processes:
    """What runs beside this process."""

    logs: Path
    say: Callable[[str], None]
    """Shows a line to whoever waits."""
    grace_s: float = GRACE_S
    running: dict[Name, Process] = field(default_factory=dict)
    ended: set[Name] = field(default_factory=set)
    """Those whose end was told."""

    def start(self, name: Name, *words: object) -> Process:
        """Start a command, shown as a person would type it."""
        line = [str(one) for one in words]
        self.say(f"$ {shlex.join(line)} &")
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - a command of this project
                [sys.executable, "-P", "-m", "deployment.attended", *line],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.running[name]

    def log(self, name: Name) -> Path:
        """Return where a process writes what it says."""
        return self.logs / f"{name}.log"

    def until(self, came: Callable[[], bool], *, needed: Sequence[Name], within_s: float) -> None:
        """Wait; the needed processes must not end before, the end of another one is only said.

        Raises:
            PeerRefused: a needed process ended, or it took too long.
        """
        end = time.monotonic() + within_s
        while not came():
            for name, one in self.running.items():
                if (status := _status(one)) is not None and name not in self.ended:
                    self.ended.add(name)
                    self._told(name, status, is_needed=name in needed)
            if time.monotonic() > end:
                message = f"demo refused: what was waited for did not come within {within_s:g} s"
                raise PeerRefused(message, next_step=f"read what they said: {self.logs.name}/*.log")
            time.sleep(PAUSE_S)

    def followed(self, name: Name) -> Callable[[], bool]:
        """Return what shows the new whole lines of a process and says whether it has ended."""
        seen = 0

        def ended() -> bool:
            nonlocal seen
            is_over = _status(self.running[name]) is not None
            said = self.log(name).read_bytes()[seen:]
            whole = len(said) if is_over else said.rfind(b"\n") + 1
            for line in said[:whole].decode(errors="replace").splitlines():
                self.say(line)
            seen += whole
            return is_over

        return ended

    def _told(self, name: Name, status: int, *, is_needed: bool) -> None:
        lines = self.log(name).read_text(errors="replace").splitlines()[-_LAST_LINES:]
        found = f"{name} ended with status {status}; its last words: {' / '.join(lines) or 'none'}"
        if is_needed:
            raise PeerRefused(f"demo refused: {found}", next_step="mend it, and try again")
        self.say(f"warning: {found}; the others go on")

    def end(self) -> None:
        """End all, and kill what does not end in order, with whatever it started."""
        try:
            for one in self.running.values():
                os.kill(one.pid, signal.SIGTERM)
            end = time.monotonic() + self.grace_s
            while any(_status(one) is None for one in self.running.values()):
                if time.monotonic() > end:
                    self.say("warning: a process did not end in order and is killed")
                    break
                time.sleep(PAUSE_S)
        finally:
            for one in self.running.values():
                os.killpg(one.pid, signal.SIGKILL)
                one.communicate()


@contextmanager
def attending(
    logs: Path, say: Callable[[str], None], *, grace_s: float = GRACE_S
) -> Iterator[Processes]:
    """Lend processes, and end them all, whatever the reason for leaving."""
    logs.mkdir(parents=True, exist_ok=True)
    processes = Processes(logs, say, grace_s)
    try:
        yield processes
    finally:
        processes.end()


def _status(one: Process) -> int | None:
    """Return how a process ended, None while it runs; its number stays its own until all end."""
    found = os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
