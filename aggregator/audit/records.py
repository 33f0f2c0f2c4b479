"""The report as records: the page shows what stands here and nothing else.

* Every figure is from the journal or the plan, or computed from these two.
* An undefined figure is None, and a reason stands beside it.
* A report claims what was found. It never judges whether a law or a standard is met.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from aggregator.audit.handover import Handover
from schemas.audit.artefacts import Artefact
from schemas.base import Record
from schemas.conformance import ConformanceCode, DeclaredCount, NoisedCount
from schemas.contract import DataContract
from schemas.gate import Verdict
from schemas.manifest import Part
from schemas.names import Digest, Moment, Name, PublicKey, SiteName, Text
from schemas.pages.records import CertificateRow, Finding, SoftwareRow
from schemas.plan import TrainingPlan
from schemas.privacy import SampledGaussian, Spend
from schemas.update import RefusalCode

Purpose: TypeAlias = Literal["train", "evaluate", "close", "deliver"]
RoundOutcome: TypeAlias = Literal[
    "accepted", "rejected", "inconclusive", "provisional", "abandoned", "unfinished"
]
Note: TypeAlias = Annotated[str, StringConstraints(max_length=20_000)]
"""A signed note, cosignatures included."""


class ReportFacts(Record):
    """What a report needs and events do not hold."""

    federation: Name
    key: PublicKey
    """The aggregator's signing key as the roster names it; the tree head must be signed with it."""
    head: Note
    """The journal's signed tree head."""
    contract: DataContract
    certificates: tuple[CertificateRow, ...] = ()
    software: Text
    """Version of the software that writes this report."""
    code: Digest
    generated: Moment


class Release(Record):
    """One thing that left a site: a signed reply, and the arrays beside it."""

    round: int
    site: SiteName
    purpose: Purpose
    artefact: Artefact
    time: Moment
    reply: Digest
    arrays: Digest | None
    size_bytes: int
    quarantined: bool


class SiteSpend(Record):
    """What one part of a site's patients has spent, as stated with the site's last reply."""

    site: SiteName
    part: Part
    releases: int
    spent: Spend | None
    run_rdp: float | None
    """The releases of this run alone, priced again by the aggregator."""
    reason: Text
    """Why a figure is undefined; empty when none is."""


class PrivacySection(Record):
    """The privacy statement, in the order of NIST SP 800-226."""

    is_private: bool
    summary: Text
    unit: Text
    adjacency: Text
    spends: tuple[SiteSpend, ...]
    mechanism: Text
    train: SampledGaussian | None
    evaluation: SampledGaussian | None
    sampling: Text
    accountant: Text
    visibility: Text
    """Who can read a single site's releases."""
    outside: tuple[Text, ...]
    """What the guarantee does not cover."""


class Tally(Record):
    """How the sites asked for one purpose in one round answered."""

    asked: int
    replied: int
    refused: int
    quarantined: int
    missing: int


class RoundRow(Record):
    """One round from its opening to where it stands."""

    round: int
    phase: Name
    """The last state that the journal names."""
    outcome: RoundOutcome
    train: Tally
    evaluation: Tally | None
    """None: no evaluation was asked for."""
    value: float | None
    """The stratified metric; None: undefined, or not judged."""
    seconds: float


class Undefined(Record):
    """A site without a figure of its own at one judged round."""

    site: SiteName
    reason: Text


class ShownFigure(Record):
    """A figure with its intervals at the gate's confidence, two-sided."""

    value: float
    noise: tuple[float, float] | None
    """Of the noise alone; None: no noise was added."""
    whole: tuple[float, float]
    """Of the noise and of the sampling of patients, taken as independent."""


class FigureRow(Record):
    """What an accepted model does at one site, or at all. None: undefined."""

    site: SiteName | None
    """None: all sites. The metric is then the mean over sites, the rest of their summed counts."""
    value: ShownFigure | None
    """AUROC, or Dice of a segmentation, which has no other figure."""
    sensitivity: ShownFigure | None
    specificity: ShownFigure | None
    calibration_error: ShownFigure | None
    calibration_in_the_large: ShownFigure | None


class Judgement(Record):
    """A verdict as the gate gave it."""

    verdict: Verdict
    deviation: float | None
    """Standard deviation of the stratified metric from the noise of the sites' histograms alone."""
    undefined: tuple[Undefined, ...]
    figures: tuple[FigureRow, ...] = ()
    """Empty unless the model was accepted."""


class ConformanceRow(Record):
    """What a site said of its cohort, in a signed report; only what the contract discloses."""

    site: SiteName
    code: ConformanceCode
    report: Digest
    declared: tuple[DeclaredCount, ...]
    noised: tuple[NoisedCount, ...]
    time: Moment


class RefusalRow(Record):
    """A site's signed no."""

    round: int
    site: SiteName
    purpose: Purpose
    code: RefusalCode
    time: Moment


class QuarantineRow(Record):
    """A reply that was left out."""

    round: int
    site: SiteName | None
    purpose: Purpose
    check: Name
    reason: Text
    time: Moment


class MissingRow(Record):
    """A reply that did not come."""

    round: int
    site: SiteName
    purpose: Purpose
    time: Moment


class SiteRow(Record):
    """A site: what the plan declares of it in public, and what came from it."""

    site: SiteName
    key: PublicKey | None
    """From its enrolment; None when this journal holds none."""
    role: Literal["trainer", "evaluator"]
    weight: float
    share: float
    """Its weight over the sum of all weights of sites that train; 0 for one that does not."""
    expected_patients: float | None
    updates: int
    """Under a protection the values that it gave to a sum, lost attempts included."""
    evaluations: int
    messages: int
    """Self-checks, and what the exchanges that open a sum need beside the values."""
    size_bytes: int


class LineageRow(Record):
    """One site's update that went into the accepted model."""

    round: int
    site: SiteName
    update: Digest
    weight: float


class AcceptedModel(Record):
    """The model that the run ends with so far."""

    arrays: Digest
    manifest: Digest | None
    round: int
    value: float | None
    """The stratified metric; None: undefined."""
    initial: Digest
    lineage: tuple[LineageRow, ...]


class KeyRow(Record):
    """A party's key that was replaced or revoked."""

    party: Name
    time: Moment
    what: Name
    former: PublicKey


class SignOffRow(Record):
    """Who reviewed the run, when, and what that means (21 CFR 11.50)."""

    name: Text
    meaning: Name
    time: Moment
    bundle: Digest
    """What was reviewed."""


class Report(Record):
    """Everything that the page shows."""

    schema_version: Literal[1] = 1
    facts: ReportFacts
    run: Name
    plan: TrainingPlan
    plan_digest: Digest
    opened: Moment
    closed: Moment | None
    ending: Text
    """The reason that the run gave when it ended; empty while it is open."""
    events: int
    """In the whole journal."""
    findings: tuple[Finding, ...] = Field(min_length=5, max_length=5)
    sites: tuple[SiteRow, ...]
    releases: tuple[Release, ...]
    privacy: PrivacySection
    rounds: tuple[RoundRow, ...]
    judgements: tuple[Judgement, ...]
    conformance: tuple[ConformanceRow, ...]
    """The newest report of each site under the run's contract."""
    refusals: tuple[RefusalRow, ...]
    quarantines: tuple[QuarantineRow, ...]
    missing: tuple[MissingRow, ...]
    accepted: AcceptedModel | None
    handover: Handover | None
    """None: nothing was decided on the release of a model."""
    key_changes: tuple[KeyRow, ...]
    software: tuple[SoftwareRow, ...]
    sign_offs: tuple[SignOffRow, ...] = ()
