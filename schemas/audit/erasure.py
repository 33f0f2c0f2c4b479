"""Erasing private details: the events stay, and so does the tree over them.

* An event commits to its details by a salted digest; without the file nobody can tell what it said.
"""

from pathlib import Path

from schemas.audit.lines import read_events
from schemas.files import sync_folder
from schemas.names import Moment


def erase(folder: Path, *, before: Moment) -> int:
    """Remove the private details of a log's events from before a moment; return how many were."""
    private = folder / "private"
    names = {
        event.private.removeprefix("sha256:")
        for event in read_events(folder)
        if event.private is not None and event.time < before
    }
    found = [private / name for name in sorted(names) if (private / name).exists()]
    for path in found:
        path.unlink()
    if found:
        sync_folder(private)
    return len(found)
