"""The stored lines of a log, read by whoever may: nobody needs to own the home for it.

* A line counts once it is whole; a torn last one was never acknowledged.
* A line is parsed once in a process, by its very bytes.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from schemas.audit.events import AuditEvent, Facts
from schemas.errors import InvalidRecord, JournalDamaged, OtherVersion

EVENTS = "events.jsonl"
_REMEMBERED = 2**15
"""Lines whose facts a process keeps: some 10 000 requests, at a kilobyte each."""
_VERSION_CHARACTERS = 40


def read_events(folder: Path) -> Iterator[AuditEvent]:
    """Read the events of a log without opening it for writing."""
    for line in whole_lines(folder):
        yield event_of(line)


def read_facts(folder: Path, *kinds: type[Facts]) -> Iterator[Facts]:
    """Read the facts of some kinds, in order; lines of other kinds are passed by unparsed."""
    yield from facts_in(whole_lines(folder), *kinds)


def facts_in(lines: Iterable[bytes], *kinds: type[Facts]) -> Iterator[Facts]:
    """Read the facts of some kinds in stored lines; those of other kinds are passed by unparsed.

    A line is parsed once in a process, by its very bytes: what is read again costs little.
    """
    tags = [f'"kind":"{kind.model_fields["kind"].default}"'.encode() for kind in kinds]
    for line in lines:
        if any(tag in line for tag in tags):
            facts = _facts_of(line)
            if isinstance(facts, kinds):
                yield facts


@lru_cache(maxsize=_REMEMBERED)
def _facts_of(line: bytes) -> Facts:
    return event_of(line).facts


def event_of(line: bytes) -> AuditEvent:
    """Read one stored line.

    Raises:
        OtherVersion: of another version of this software.
        JournalDamaged: not in canonical form.
    """
    try:
        return AuditEvent.from_canonical(line)
    except InvalidRecord as error:
        if error.is_other_version:
            raise OtherVersion("journal") from None
        raise damaged("an event that is not in canonical form") from None


@contextmanager
def naming_versions(folder: Path) -> Iterator[None]:
    """Add to a refusal of another version's record which versions this home was used with.

    Raises:
        OtherVersion: as it came, with the versions that the log names.
    """
    try:
        yield
    except OtherVersion as error:
        raise OtherVersion(error.what, versions=", ".join(_versions(folder))) from error


def _versions(folder: Path) -> list[str]:
    """Read the versions that the log names, whatever else another version wrote into it."""
    found = []
    for line in whole_lines(folder):
        if b'"kind":"software-started"' in line:
            with suppress(ValueError, LookupError, TypeError):
                found.append(str(json.loads(line)["facts"]["version"])[:_VERSION_CHARACTERS])
    return [one for one in dict.fromkeys(found) if one.isprintable()]


def whole_lines(folder: Path, *, start: int = 0) -> Iterator[bytes]:
    """Read the stored events without their line ends; a torn last one is left out."""
    path = folder / EVENTS
    if not path.exists():
        return
    if not path.is_file():  # a pipe may never end
        raise damaged(f"{EVENTS}, which is not a file")
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def damaged(found: str) -> JournalDamaged:
    """Return the refusal of a log in which this was found."""
    return JournalDamaged(
        f"journal refused: found {found}",
        next_step="stop, keep the files as they are, and restore the journal and the ledger "
        "together from a backup",
    )
