"""What the logs' owners show each other beside a round's messages.

* Down goes the aggregator's head, with a proof from each size that a site may have cosigned last,
  the newest head that enough sites cosigned, and the roster, which says whose cosignatures count.
  Up come a site's new public events under its own head, and its cosignature.
* None of it needs the envelope's signature: each head and cosignature has one of its own, and
  events are held against their head.
* A site's conformance report comes up the same way, under the site's signature.
* A site's log is sent in parts of bounded size, each under a head of its own.
"""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

from schemas.base import Record
from schemas.names import Note, SiteName

MOST_EVENTS = 4096
"""In one message; a longer part waits for the next."""

Cosigned: TypeAlias = Annotated[str, StringConstraints(max_length=200_000)]
"""A signed note with the lines of its cosigners."""

Offered: TypeAlias = Annotated[str, StringConstraints(max_length=6_000)]
"""The body of `add-checkpoint` (c2sp.org/tlog-witness)."""


class Shown(Record):
    """What an aggregator shows with a request; the same for all sites."""

    offers: tuple[Offered, ...] = Field(min_length=1, max_length=256)
    """The same head, from different sizes."""
    cosigned: Cosigned | None
    """The newest head that enough sites cosigned; None: there is none yet."""
    held: dict[SiteName, int]
    """How many events of each site's log the aggregator has."""
    roster: Annotated[str, StringConstraints(max_length=1_000_000)]
    """The roster's envelope as it stands now; only the root key's signature makes it count."""


class Shared(Record):
    """What a site shares with its reply."""

    first: int = Field(ge=0)
    """Index of the first event."""
    events: tuple[str, ...] = Field(max_length=MOST_EVENTS)
    """The exact stored bytes of each, which are UTF-8."""
    head: Note
    """The site's signed head over all events up to the last of these."""
    cosignature: Note | None
    """The line that cosigns the head shown; None: it was refused."""
    conformance: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    """The site's signed conformance report, an envelope; None: no person let one leave."""
