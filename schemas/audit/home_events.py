"""What happens in a home outside of runs: software, parties, cohorts, approvals."""

from typing import Literal

from pydantic import Field

from schemas.base import Record
from schemas.conformance import ConformanceCode
from schemas.names import Digest, Moment, Name, PublicKey, Text


class SoftwareStarted(Record):
    """A command took ownership of this home."""

    kind: Literal["software-started"] = "software-started"
    command: Name
    version: Text
    code: Digest
    """Digest of the installed packages."""


class SoftwareStopped(Record):
    """The command let go of this home. A start without a stop was killed, or its machine failed."""

    kind: Literal["software-stopped"] = "software-stopped"
    command: Name
    version: Text
    code: Digest
    outcome: Literal["done", "refused", "interrupted", "failed"]


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


class KeyReplaced(Record):
    """A party's keys were replaced by new ones, under which its log goes on.

    It stands in the party's own log, under a head that the old key signed, and in the aggregator's.
    What the old keys signed before it counts; what they sign later does not. Of compromised keys
    nothing counts that does not stand in a log before it.
    """

    kind: Literal["key-replaced"] = "key-replaced"
    federation: Name
    party: Name
    """A site, or `aggregator`."""
    old: PublicKey
    new: PublicKey
    old_witness: PublicKey | None = None
    new_witness: PublicKey | None = None
    """None: the party is the aggregator, which cosigns nothing."""
    reason: Literal["planned", "compromised"]


class RosterTaken(Record):
    """A node took a newer roster of its federation, signed by the root key."""

    kind: Literal["roster-taken"] = "roster-taken"
    serial: int = Field(ge=1)
    roster: Digest


class TurnedAway(Record):
    """Somebody who may not was turned away; who it was stays in the private part.

    A `call` ended at the aggregator's port, a `request` at a node that it does not come to; a
    `server` showed a node a certificate that is not vouched for, and was told nothing.
    """

    kind: Literal["turned-away"] = "turned-away"
    what: Literal["call", "request", "server"]
    reason: Name
    count: int = Field(ge=1)
    """Alike ones, counted together."""


class WorkLimited(Record):
    """A named person limited when and how the machine works; the limits stay at the site."""

    kind: Literal["work-limited"] = "work-limited"
    approver: Text


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


class PrivateErased(Record):
    """A named person had the private details of older events erased; the events stay."""

    kind: Literal["private-erased"] = "private-erased"
    approver: Text
    before: Moment
    """Of events from before this."""


class CodePinned(Record):
    """A named person said which installed code may work here; None: whichever is installed."""

    kind: Literal["code-pinned"] = "code-pinned"
    approver: Text
    code: Digest | None


class LimitSet(Record):
    """A named person changed the hospital's cap."""

    kind: Literal["limit-set"] = "limit-set"
    approver: Text
    epsilon: float
    delta: float
