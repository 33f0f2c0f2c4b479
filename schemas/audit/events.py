"""Audit events: a closed set of claims, each with public facts only.

* A new kind is a new class in one of the four modules beside this one, named in `Facts`; the
  meaning of a kind never changes.
* Private details enter as a salted commitment in `private`, so they can be erased without breaking
  the tree.
* No patient identifier, path, host name or exception text stands in an event.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from schemas.audit.exchange_events import (
    ExchangeAnswered,
    ExchangeAsked,
    ExchangeReceived,
    ExchangeReplied,
    PeersTaken,
    SumGiven,
    SumLost,
    SumOpened,
)
from schemas.audit.home_events import (
    CodePinned,
    CohortIngested,
    CohortWithdrawn,
    ConformanceReported,
    Enrolled,
    HomeMade,
    ImageReviewed,
    ImagesFetched,
    KeyReplaced,
    LimitSet,
    PlanApproved,
    PrivateErased,
    Revoked,
    RosterTaken,
    SoftwareStarted,
    SoftwareStopped,
    TurnedAway,
    WorkLimited,
)
from schemas.audit.log_events import (
    ForkSeen,
    HeadCosigned,
    LogReceived,
    ReportWritten,
    SignedOff,
)
from schemas.audit.run_events import (
    CheckpointStored,
    ConformanceReceived,
    ModelDelivered,
    ModelInstalled,
    ModelReceived,
    Quarantined,
    RefusalReceived,
    Refused,
    ReleaseDecided,
    ReplyMissing,
    ReplyReceived,
    ReplySent,
    RequestReceived,
    RequestSent,
    Reserved,
    RoundMoved,
    RunClosed,
    RunOpened,
    Settled,
    VerdictGiven,
)
from schemas.base import Record
from schemas.names import Digest, Moment

__all__ = [
    "AuditEvent",
    "CheckpointStored",
    "CodePinned",
    "CohortIngested",
    "CohortWithdrawn",
    "ConformanceReceived",
    "ConformanceReported",
    "Enrolled",
    "ExchangeAnswered",
    "ExchangeAsked",
    "ExchangeReceived",
    "ExchangeReplied",
    "Facts",
    "ForkSeen",
    "HeadCosigned",
    "HomeMade",
    "ImageReviewed",
    "ImagesFetched",
    "KeyReplaced",
    "LimitSet",
    "LogReceived",
    "ModelDelivered",
    "ModelInstalled",
    "ModelReceived",
    "PeersTaken",
    "PlanApproved",
    "PrivateErased",
    "Quarantined",
    "RefusalReceived",
    "Refused",
    "ReleaseDecided",
    "ReplyMissing",
    "ReplyReceived",
    "ReplySent",
    "ReportWritten",
    "RequestReceived",
    "RequestSent",
    "Reserved",
    "Revoked",
    "RosterTaken",
    "RoundMoved",
    "RunClosed",
    "RunOpened",
    "Settled",
    "SignedOff",
    "SoftwareStarted",
    "SoftwareStopped",
    "SumGiven",
    "SumLost",
    "SumOpened",
    "TurnedAway",
    "VerdictGiven",
    "WorkLimited",
]

Facts: TypeAlias = Annotated[
    SoftwareStarted
    | SoftwareStopped
    | HomeMade
    | Enrolled
    | Revoked
    | KeyReplaced
    | RosterTaken
    | TurnedAway
    | CohortIngested
    | CohortWithdrawn
    | ImagesFetched
    | ImageReviewed
    | ConformanceReported
    | PlanApproved
    | PrivateErased
    | LimitSet
    | WorkLimited
    | CodePinned
    | RunOpened
    | RunClosed
    | RoundMoved
    | RequestSent
    | RequestReceived
    | Reserved
    | Settled
    | ReplySent
    | ReplyReceived
    | ConformanceReceived
    | Refused
    | RefusalReceived
    | Quarantined
    | ReplyMissing
    | ExchangeAsked
    | ExchangeReceived
    | ExchangeAnswered
    | ExchangeReplied
    | PeersTaken
    | SumGiven
    | SumOpened
    | SumLost
    | CheckpointStored
    | VerdictGiven
    | ReleaseDecided
    | ModelDelivered
    | ModelReceived
    | ModelInstalled
    | HeadCosigned
    | LogReceived
    | ForkSeen
    | SignedOff
    | ReportWritten,
    Field(discriminator="kind"),
]


class AuditEvent(Record):
    """One line of a log."""

    schema_version: Literal[1] = 1
    sequence: int = Field(ge=0)
    time: Moment
    origin: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")]
    facts: Facts
    private: Digest | None = None
    """SHA-256 over 32 random bytes and the canonical private details, which stay at the silo."""
