"""Journals that tests write, break and read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.audit.events import Facts, Settled
from schemas.audit.journal import Journal, verified
from schemas.audit.lines import read_events
from schemas.wire.keys import SigningKey

ORIGIN = "site/east"
KEY = SigningKey.generate()
MOMENT = "2026-11-20T09:08:07.006Z"


def fact(number: int) -> Facts:
    return Settled(request=f"request-{number}", outcome="committed")


@contextmanager
def journal(folder: Path, *, key: SigningKey = KEY, origin: str = ORIGIN) -> Iterator[Journal]:
    """A journal, sealed and closed at the end."""
    opened = Journal(folder, origin=origin, key=key, clock=lambda: MOMENT)
    try:
        yield opened
    finally:
        opened.close()


def written(folder: Path, count: int = 3) -> Path:
    """A sealed journal of some events."""
    with journal(folder) as log:
        for number in range(count):
            log.append(fact(number))
    return folder


def numbers(folder: Path) -> list[int]:
    """The numbers of the facts, in order; the sequence is checked on the way."""
    events = list(read_events(folder))
    assert [one.sequence for one in events] == list(range(len(events)))
    facts = [one.facts for one in events]
    return [int(one.request[8:]) for one in facts if isinstance(one, Settled)]


def size_of(folder: Path) -> int:
    return verified(folder, origin=ORIGIN, key=KEY.public).size


def entries_of(folder: Path, size: int) -> list[bytes]:
    """Read an entry bundle: entries under their lengths in two bytes (c2sp.org/tlog-tiles)."""
    if size == 0:
        return []
    left = (folder / "tile" / "entries" / "000.p" / str(size)).read_bytes()
    entries = []
    while left:
        end = 2 + int.from_bytes(left[:2])
        entries.append(left[2:end])
        left = left[end:]
    assert len(entries) == size
    return entries
