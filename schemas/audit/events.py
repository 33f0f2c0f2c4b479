"""Audit events: a closed set of claims, each with public facts only.

* A new kind is a new class here; the meaning of a kind never changes.
* Private details enter as a salted commitment in `private`, so they can be erased without breaking
  the tree.
* No patient identifier, path, host name or exception text stands in an event.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from schemas.base import Record
from schemas.conformance import ConformanceCode
from schemas.gate import CheckResult, Verdict
from schemas.names import Digest, Moment, Name, Note, PublicKey, SiteName, Text
from schemas.privacy import PrivacyStatement, SampledGaussian, Spend
from schemas.update import RefusalCode


class SoftwareStarted(Record):
    """A command took ownership of this home."""

    kind: Literal["software-started"] = "software-started"
    command: Name
    version: Text
    code: Digest
    """Digest of the installed packages."""


class HomeMade(Record):
    """This silo came into being with this signing key."""

    kind: Literal["home-made"] = "home-made"
    key: PublicKey


class Enrolled(Record):
    """A site joined, or a site accepted an aggregator."""

    kind: Literal["enrolled"] = "enrolled"
    federation: Name
    party: Name
    key: PublicKey


class Revoked(Record):
    """A site was taken off the roster: its key counts no more."""

    kind: Literal["revoked"] = "revoked"
    federation: Name
    party: Name
    key: PublicKey


class CohortIngested(Record):
    """A cohort was made under a contract; counts stay at the site."""

    kind: Literal["cohort-ingested"] = "cohort-ingested"
    contract: Digest
    conforms: bool


class CohortWithdrawn(Record):
    """A named person took patients out of the cohorts; who and how many stays at the site."""

    kind: Literal["cohort-withdrawn"] = "cohort-withdrawn"
    approver: Text
    changed: tuple[Digest, ...]
    """Contracts whose cohort goes on without them."""
    removed: tuple[Digest, ...]
    """Contracts whose cohort no longer conforms without them."""


class ImagesFetched(Record):
    """Images came from the hospital's archive to this node's disk; counts stay at the site."""

    kind: Literal["images-fetched"] = "images-fetched"
    source: Literal["pacs", "dicomweb"]
    contract: Digest
    complete: bool
    """Everything that was asked for was listed and came."""


class ConformanceReported(Record):
    """A named person let the signed report on a cohort leave."""

    kind: Literal["conformance-reported"] = "conformance-reported"
    contract: Digest
    code: ConformanceCode
    report: Digest
    approver: Text


class ImageReviewed(Record):
    """A named person looked at a quarantined image; which one stays in the private part."""

    kind: Literal["image-reviewed"] = "image-reviewed"
    contract: Digest
    verdict: Literal["use", "refuse"]
    approver: Text


class PlanApproved(Record):
    """A named person at this hospital approved a plan."""

    kind: Literal["plan-approved"] = "plan-approved"
    plan: Digest
    approver: Text
    epsilon_limit: float | None
    """The hospital's cap at that time; None: the plan has no privacy and the policy allows that."""
    delta: float


class LimitSet(Record):
    """A named person changed the hospital's cap."""

    kind: Literal["limit-set"] = "limit-set"
    approver: Text
    epsilon: float
    delta: float


class RunOpened(Record):
    """A run of a plan began or was taken up again."""

    kind: Literal["run-opened"] = "run-opened"
    run: Name
    plan: Digest
    contract: Digest
    initial: Digest
    sites: tuple[SiteName, ...]
    resumed: bool


class RunClosed(Record):
    """A run ended with this accepted model, if any."""

    kind: Literal["run-closed"] = "run-closed"
    run: Name
    accepted: Digest | None
    reason: Text


class RoundMoved(Record):
    """A round took an edge of the transition table."""

    kind: Literal["round-moved"] = "round-moved"
    run: Name
    round: int
    source: Name
    target: Name


class RequestSent(Record):
    """The aggregator sent a request to these sites."""

    kind: Literal["request-sent"] = "request-sent"
    run: Name
    round: int
    request: Name
    purpose: Literal["train", "evaluate", "close"]
    arrays: Digest
    sites: tuple[SiteName, ...]


class RequestReceived(Record):
    """A node verified a request; `repeated` ones got the stored reply."""

    kind: Literal["request-received"] = "request-received"
    run: Name
    round: int
    request: Name
    purpose: Literal["train", "evaluate", "close"]
    arrays: Digest
    repeated: bool


class Reserved(Record):
    """The ledger charged a release before it was made."""

    kind: Literal["reserved"] = "reserved"
    request: Name
    part: Literal["train", "validation"]
    event: SampledGaussian
    max_norm: float
    spent: Spend


class Settled(Record):
    """A reservation became final: the release left, or training never started."""

    kind: Literal["settled"] = "settled"
    request: Name
    outcome: Literal["committed", "voided"]


class ReplySent(Record):
    """A node released a reply.

    `reply` is the digest of the signed envelope, `arrays` that of what travels beside it.
    """

    kind: Literal["reply-sent"] = "reply-sent"
    run: Name
    round: int
    request: Name
    reply: Digest
    arrays: Digest | None
    size_bytes: int


class ReplyReceived(Record):
    """The aggregator verified a reply."""

    kind: Literal["reply-received"] = "reply-received"
    run: Name
    round: int
    request: Name
    site: SiteName
    reply: Digest
    arrays: Digest | None
    size_bytes: int
    privacy: PrivacyStatement | None


class Refused(Record):
    """A node refused a request; the reason in full stays in the private part."""

    kind: Literal["refused"] = "refused"
    run: Name
    round: int
    request: Name
    code: RefusalCode


class RefusalReceived(Record):
    """The aggregator received a site's signed refusal."""

    kind: Literal["refusal-received"] = "refusal-received"
    run: Name
    round: int
    request: Name
    site: SiteName
    code: RefusalCode


class Quarantined(Record):
    """An update was left out, with the check that it failed."""

    kind: Literal["quarantined"] = "quarantined"
    run: Name
    round: int
    site: SiteName | None
    """None when the sender could not be established."""
    check: Name
    reason: Text


class ReplyMissing(Record):
    """A participant's reply did not come before the deadline, or its node failed."""

    kind: Literal["reply-missing"] = "reply-missing"
    run: Name
    round: int
    request: Name
    site: SiteName


class CheckpointStored(Record):
    """A model was stored."""

    kind: Literal["checkpoint-stored"] = "checkpoint-stored"
    run: Name
    round: int
    manifest: Digest
    arrays: Digest


class VerdictGiven(Record):
    """The model gate judged a candidate."""

    kind: Literal["verdict-given"] = "verdict-given"
    run: Name
    verdict: Verdict


class ReleaseDecided(Record):
    """Whether the accepted model may leave the aggregator, by the plan's release criteria."""

    kind: Literal["release-decided"] = "release-decided"
    run: Name
    round: int
    arrays: Digest
    is_released: bool
    checks: tuple[CheckResult, ...]


class ModelDelivered(Record):
    """A site's receipt for a released model came."""

    kind: Literal["model-delivered"] = "model-delivered"
    run: Name
    round: int
    site: SiteName
    arrays: Digest
    release: Digest


class ModelReceived(Record):
    """A node verified a released model and keeps it."""

    kind: Literal["model-received"] = "model-received"
    run: Name
    round: int
    arrays: Digest
    release: Digest


class ModelInstalled(Record):
    """A named person at this hospital put a released model into use."""

    kind: Literal["model-installed"] = "model-installed"
    run: Name
    round: int
    arrays: Digest
    approver: Text


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


Facts: TypeAlias = Annotated[
    SoftwareStarted
    | HomeMade
    | Enrolled
    | Revoked
    | CohortIngested
    | CohortWithdrawn
    | ImagesFetched
    | ImageReviewed
    | ConformanceReported
    | PlanApproved
    | LimitSet
    | RunOpened
    | RunClosed
    | RoundMoved
    | RequestSent
    | RequestReceived
    | Reserved
    | Settled
    | ReplySent
    | ReplyReceived
    | Refused
    | RefusalReceived
    | Quarantined
    | ReplyMissing
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
