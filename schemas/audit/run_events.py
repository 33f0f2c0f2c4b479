"""What happens in a run: its edges, what was asked and answered, charges, models and verdicts."""

from typing import Literal

from schemas.audit.artefacts import Replied
from schemas.base import Record
from schemas.conformance import ConformanceCode, DeclaredCount, NoisedCount
from schemas.gate import CheckResult, Verdict
from schemas.names import Digest, Name, SiteName, Text
from schemas.privacy import PrivacyStatement, SampledGaussian, Spend
from schemas.update import RefusalCode


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
    artefact: Replied
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


class ConformanceReceived(Record):
    """The aggregator verified a site's conformance report, which says this and no more."""

    kind: Literal["conformance-received"] = "conformance-received"
    site: SiteName
    contract: Digest
    code: ConformanceCode
    report: Digest
    """Of the signed envelope."""
    declared: tuple[DeclaredCount, ...]
    noised: tuple[NoisedCount, ...]


class RefusalReceived(Record):
    """The aggregator received a site's signed refusal."""

    kind: Literal["refusal-received"] = "refusal-received"
    run: Name
    round: int
    request: Name
    site: SiteName
    code: RefusalCode
    faulty: SiteName | None = None
    """Whose part in a sum the site cannot use, where that is why."""


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
