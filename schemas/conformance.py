"""A site's signed answer to a contract: whether its cohort conforms, and nothing of who is in it.

* A count stands in it only where the contract discloses it: declared by a person in public, or
  noised and charged to the ledger. Findings stay at the site.
"""

from typing import Literal, TypeAlias

from pydantic import Field

from schemas.base import Record
from schemas.manifest import Part
from schemas.names import Digest, Name, Note, SiteName
from schemas.privacy import PrivacyStatement

__all__ = ["ConformanceCode", "ConformanceReport", "DeclaredCount", "NoisedCount"]

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
