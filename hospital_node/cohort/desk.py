"""Where a cohort is made, for whom, and who watches."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.names import SiteName

__all__ = ["Desk", "one_for_each_core"]

MOST_WORKERS = 8
"""Beyond it the disk is the limit."""


def one_for_each_core() -> int:
    """Return how many processes read files, unless a person says otherwise."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def _unheard(_text: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the work is done, for whom, and who watches."""

    site: SiteName
    key: bytes = field(repr=False)
    """32 bytes that never leave the site; pseudonyms and parts are made with it."""
    store: Path
    progress: Callable[[int, int], None]
    """Called with the number of files done and of all files."""
    workers: int = field(default_factory=one_for_each_core)
    """Processes that read files."""
    now_ns: Callable[[], int] = time.time_ns
    """The system's time, as files have it."""
    notice: Callable[[str], None] = _unheard
    """Called with a line for people, before the work that it is about."""
