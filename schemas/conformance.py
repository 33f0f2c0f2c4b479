"""A site's signed answer to a contract: whether its cohort conforms, and nothing of who is in it.

* A count stands in it only where the contract discloses it: declared by a person in public, or
  noised and charged to the ledger. Findings stay at the site.
* It travels beside a reply once a named person has let it leave, in an envelope of its own.
"""

from typing import Literal, TypeAlias

from pydantic import Field

from schemas.base import Record
from schemas.contract import DataContract, Noised
from schemas.manifest import Part
from schemas.names import Digest, Name, Note, SiteName
from schemas.privacy import PrivacyStatement

__all__ = [
    "CHARGES",
    "ConformanceCode",
    "ConformanceReport",
    "DeclaredCount",
    "NoisedCount",
    "undisclosed",
]

CHARGES = "conformance"
"""In place of a run's name, in charges for counts and in the note that a report left."""

ConformanceCode: TypeAlias = Literal["conforms", "does-not-conform", "no-cohort"]
"""Coarse: why a cohort does not conform stays at the site."""


class DeclaredCount(Record):
    """Patients of a part, as a person at the site states in public; never counted by the node."""

    part: Part
    patients: int = Field(ge=0)


class NoisedCount(Record):
    """Patients of a part plus discrete Gaussian noise; may be negative."""

    part: Part
    patients: int
    privacy: PrivacyStatement


class ConformanceReport(Record):
    """Whether a site's cohort conforms to a contract."""

    kind: Literal["conformance-report"] = "conformance-report"
    federation: Name
    site: SiteName
    contract: Digest
    code: ConformanceCode
    head: Note
    """The signed tree head of the site's journal, with what the counts cost."""
    declared: tuple[DeclaredCount, ...] = ()
    noised: tuple[NoisedCount, ...] = ()


def undisclosed(report: ConformanceReport, contract: DataContract) -> str:
    """Say what a report has to do with the contract that it must not; empty: nothing.

    Declared counts are exactly those that the contract asks for; noised ones at its price, and
    all of them if there is a cohort to count.
    """
    prices = {one.part: one.price for one in contract.disclosures}
    declared = [one.part for one in report.declared]
    noised = {one.part: one.privacy.event.noise_multiplier for one in report.noised}
    asked = {part: one for part, one in prices.items() if isinstance(one, Noised)}
    if report.contract != contract.digest:
        return "it is about another contract"
    if sorted(declared) != sorted(prices.keys() - asked.keys()):
        return "its declared counts are not those that the contract asks for"
    wanted = {part: one.noise_multiplier for part, one in asked.items()}
    if len(noised) != len(report.noised) or noised != (
        {} if report.code == "no-cohort" else wanted
    ):
        return "its noised counts are not those that the contract discloses, at its price"
    return ""
