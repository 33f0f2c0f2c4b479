"""The hospital's report as records: the page shows what stands here and nothing else.

* Everything is from this home: journal, ledger, policy, membership, delivered models.
* No count of patients and nothing of one patient is in it, so it may be handed on; the reasons of
  refusals are the hospital's own words, and stay out of what the aggregator gets.
"""

from typing import Literal

from pydantic import Field

from schemas.audit.artefacts import Artefact
from schemas.base import Record
from schemas.manifest import Part
from schemas.names import Digest, Moment, Name, Note, PublicKey, SiteName, Text
from schemas.pages.records import CertificateRow, Finding, SoftwareRow
from schemas.privacy import Spend
from schemas.protection.messages import Purpose
from schemas.update import RefusalCode


class Identity(Record):
    """Whose report this is: the site, its keys, and the federation that it joined."""

    site: SiteName
    key: PublicKey
    witness: PublicKey
    federation: Name | None
    """None: none was joined."""
    root: Digest | None
    """Fingerprint of the federation's root key."""
    serial: int | None
    """Of the roster."""
    aggregator: PublicKey | None
    certificates: tuple[CertificateRow, ...]
    """Of the authorities that may vouch for the aggregator's TLS."""


class SentRow(Record):
    """One thing that left this hospital."""

    time: Moment
    artefact: Artefact
    purpose: Purpose | None
    """What it is for; None: no request asked for it."""
    run: Name | None
    round: int | None
    recipient: Text
    sent_digest: Digest
    arrays: Digest | None
    size_bytes: int | None
    is_charged: bool
    """Whether the ledger prices it; what a person declares in public has no price."""
    is_of_patients: bool
    """Whether it is computed from patients here; keys, shares and agreements are not."""


class ChargeRow(Record):
    """A charge, and where the part's epsilon stood with it."""

    time: Moment
    request: Name
    part: Part
    spent: Spend
    is_voided: bool
    """Training never started, so it does not count."""


class PartRow(Record):
    """What one part's patients have spent, over every charged release ever made."""

    part: Part
    releases: int
    without_privacy: int
    spent: Spend


class RefusalRow(Record):
    """A request that this node refused."""

    time: Moment
    run: Name
    round: int
    code: RefusalCode
    reason: Text | None
    """In full; None: the private detail was erased."""


class DecisionRow(Record):
    """What a named person decided."""

    time: Moment
    person: Text
    decision: Text
    about: Digest | None


class KeyRow(Record):
    """A key of this hospital that was replaced."""

    time: Moment
    old: PublicKey
    reason: Name


class ModelRow(Record):
    """A released model that came."""

    arrays: Digest
    run: Name
    round: int
    auroc: float | None
    reason: Text
    """The gate's."""
    in_use: bool


class HospitalReport(Record):
    """Everything that the page shows."""

    schema_version: Literal[1] = 1
    identity: Identity
    generated: Moment
    version: Text
    """Of the software that writes this report."""
    code: Digest
    head: Note
    events: int
    findings: tuple[Finding, ...] = Field(min_length=5, max_length=5)
    sent: tuple[SentRow, ...]
    limit: float
    delta: float
    parts: tuple[PartRow, ...]
    charges: tuple[ChargeRow, ...]
    refusals: tuple[RefusalRow, ...]
    incidents: tuple[Text, ...]
    decisions: tuple[DecisionRow, ...]
    replaced: tuple[KeyRow, ...]
    models: tuple[ModelRow, ...]
    cosigned: int
    """Events of the aggregator's log under the head that this site cosigned last."""
    software: tuple[SoftwareRow, ...]
