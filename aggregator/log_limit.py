"""How much a service writes into its log, whatever reaches it.

* Each part of the software has some lines in a minute; the next says how many were left out.
* A line is bounded in length, and what cannot be printed is replaced.
* What must be provable stands in the journals, never here.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LINES = 20
"""In a window, of one part of the software."""

WINDOW_S = 60.0

LONGEST = 400
"""Characters of a line."""


@dataclass(slots=True)
class _Window:
    ends: float
    written: int = 0
    left_out: int = 0


@dataclass(slots=True)
class LogLimit(logging.Filter):
    """Lets through what fits; it stands at a handler, which calls it under a lock of its own."""

    clock: Callable[[], float] = time.monotonic
    windows: dict[str, _Window] = field(default_factory=dict)
    """By logger: there are as many as parts of the software."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten a line; False when its part has written enough."""
        now = self.clock()
        window = self.windows.setdefault(record.name, _Window(ends=now + WINDOW_S))
        before = 0
        if now >= window.ends:
            before = window.left_out
            self.windows[record.name] = window = _Window(ends=now + WINDOW_S)
        window.written += 1
        if window.written > LINES:
            window.left_out += 1
            return False
        text = record.getMessage()[:LONGEST]
        text = "".join(one if one.isprintable() else "?" for one in text)
        record.msg, record.args = text, ()
        if before:
            record.msg += f" ({before} lines were left out before)"
        return True


def limited_log() -> None:
    """Send every line of this process to standard error, within the limit."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", force=True)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
    # Each step in which Flower makes its tables; what fails there is still said.
    logging.getLogger("alembic").setLevel(logging.WARNING)
