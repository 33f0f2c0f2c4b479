"""A command at work on a home: its start is the first that it writes down, its stop the last.

* Between two starts of a log without a stop the command was killed, or its machine failed.
* A stop that cannot be written is left out, like that of a kill; what went wrong before is told.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from schemas.audit.events import AuditEvent, SoftwareStarted, SoftwareStopped
from schemas.audit.journal import Journal
from schemas.errors import FederationError
from schemas.names import Digest, Name
from schemas.pages.records import SoftwareRow
from schemas.software import VERSION


@contextmanager
def at_work(journal: Journal, command: Name, *, code: Digest) -> Iterator[None]:
    """Note which software starts, and how it stopped."""
    journal.append(SoftwareStarted(command=command, version=VERSION, code=code))
    outcome: Literal["done", "refused", "interrupted", "failed"] = "failed"
    try:
        yield
        outcome = "done"
    except FederationError:
        outcome = "refused"
        raise
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        stopped = SoftwareStopped(command=command, version=VERSION, code=code, outcome=outcome)
        with suppress(OSError):
            journal.append(stopped)


def software_rows(events: Iterable[AuditEvent]) -> tuple[SoftwareRow, ...]:
    """List the versions that worked on a home, first seen first; the last start may be at work."""
    rows: dict[tuple[str, str], SoftwareRow] = {}
    running: tuple[str, str] | None = None
    for event in events:
        if isinstance(event.facts, SoftwareStopped):
            running = None
        elif isinstance(event.facts, SoftwareStarted):
            if running is not None:
                known = rows[running]
                rows[running] = known.model_copy(update={"cut_off": known.cut_off + 1})
            version, code = running = event.facts.version, event.facts.code
            row = rows.get(running) or SoftwareRow(
                version=version, code=code, since=event.time, starts=0, cut_off=0
            )
            rows[running] = row.model_copy(update={"starts": row.starts + 1})
    return tuple(rows.values())
