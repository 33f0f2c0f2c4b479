"""What a check of a cohort notices: a finding.

* A finding says a code, a place in the contract, what was expected, a category of what was found,
  and how often; never a value, a file name or an identifier.
* Findings stay at the site. A cohort conforms when none of them blocks.
"""

from collections.abc import Iterable

from pydantic import Field

from hospital_node.cohort.reasons import REASONS
from schemas.base import Record
from schemas.checks import Dimension, Severity
from schemas.errors import NotConforming
from schemas.names import Digest, Name, Text

__all__ = ["Examination", "Finding", "conforms", "refuse_unfit"]


class Finding(Record):
    """One thing that a check noticed."""

    code: Name
    dimension: Dimension
    pointer: Text
    """Place in the contract that decides (RFC 6901); empty: no contract could allow it."""
    expected: Text
    found: Text
    """A category, never the value."""
    count: int = Field(ge=0)
    severity: Severity
    remedy: Text


class Examination(Record):
    """All findings of the cohort with this manifest, as they are stored beside it."""

    manifest: Digest
    findings: tuple[Finding, ...]


def conforms(findings: Iterable[Finding]) -> bool:
    """Say whether none of the findings blocks."""
    return all(one.severity != "block" for one in findings)


def refuse_unfit(findings: Iterable[Finding]) -> None:
    """Decide once, over all findings.

    Raises:
        NotConforming: one of them blocks.
    """
    listed = tuple(findings)
    blocking = [one for one in listed if one.severity == "block"]
    if not blocking:
        return
    faults = "; ".join(f"{one.found}, {one.expected}" for one in blocking)
    counts = ", ".join(f"{one.count} {one.code}" for one in listed if one.code in REASONS)
    message = f"cohort refused: {faults}" + (f" (files by code: {counts})" if counts else "")
    raise NotConforming(message, next_step=blocking[0].remedy)
