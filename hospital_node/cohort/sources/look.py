"""What a folder looks like from outside: enough to tell that no file in it was written since.

* It is one keyed digest over each entry's name, number, size, times and kind; no content is read.
* The change time is set by the system at every write and at every other change of a file, and by
  nobody else. A look at files that changed just now tells nothing, since a later write could leave
  the same time: there is none until they have settled.
* A link may lead to what is not looked at: with one there is none either.
"""

import hmac
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from schemas.names import Digest

__all__ = ["look_at"]

SETTLED_NS = 2_000_000_000
"""Coarser than any file system's clock."""


def look_at(source: Path, *, key: bytes, now_ns: int) -> Digest | None:
    """Return what a folder looks like; None when it tells nothing, or cannot be looked at."""
    seen = hmac.new(key, b"consilium/look/1", "sha256")
    try:
        for name, found in _entries(str(source), ""):
            if found.st_ctime_ns > now_ns - SETTLED_NS or stat.S_ISLNK(found.st_mode):
                return None
            facts = (found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns)
            seen.update(f"{name}\0{facts} {found.st_ctime_ns}\n".encode(errors="surrogateescape"))
    except OSError:
        return None
    return f"sha256:{seen.hexdigest()}"


def _entries(folder: str, place: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every entry below a folder in a fixed order; links are not followed."""
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda one: one.name)
    for one in entries:
        name = f"{place}/{one.name}"
        yield name, one.stat(follow_symlinks=False)
        if one.is_dir(follow_symlinks=False):
            yield from _entries(one.path, name)
