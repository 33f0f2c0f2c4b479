"""What happens to logs and reports: heads, cosignatures, incidents, sign-offs."""

from typing import Literal

from schemas.base import Record
from schemas.names import Digest, Name, Note, SiteName, Text


class HeadCosigned(Record):
    """A node cosigned a head of the aggregator's log, which continues the one before."""

    kind: Literal["head-cosigned"] = "head-cosigned"
    head: Note
    """As its owner signed it."""


class LogReceived(Record):
    """The aggregator has a site's log up to this head; who cosigns this log covers that one too."""

    kind: Literal["log-received"] = "log-received"
    site: SiteName
    head: Note
    """As the site signed it."""


class ForkSeen(Record):
    """An incident: the owner of a log has signed two heads that cannot be of one history."""

    kind: Literal["fork-seen"] = "fork-seen"
    known: Note | None
    """The head known before; None: none was."""
    shown: Note


class SignedOff(Record):
    """A named person states what a signature under a run's report means (21 CFR 11.50)."""

    kind: Literal["signed-off"] = "signed-off"
    run: Name
    bundle: Digest
    """What was reviewed: the bundle's bytes."""
    name: Text
    meaning: Literal["reviewed", "approved", "rejected"]


class ReportWritten(Record):
    """A report was made."""

    kind: Literal["report-written"] = "report-written"
    run: Name
    report: Digest
