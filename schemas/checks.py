"""The checks of a contract: what each is about, and how grave it is that it notices something.

* Every check has a code and a dimension (those of the Open Data Contract Standard, and
  confidentiality). A contract says of any check how grave it is, how many may be tolerated, and
  what helps; one that it does not name has its usual weight.
* Only a sign of identity can quarantine: a person looks at the pixels and decides.
* That no identifier is left in what is stored cannot be made lighter.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from schemas.base import Record
from schemas.names import Name, Text

__all__ = ["DIMENSIONS", "RESIDUE", "SIGNS", "USUAL", "Check", "Dimension", "Severity"]

Severity: TypeAlias = Literal["block", "quarantine", "warn"]
Dimension: TypeAlias = Literal[
    "accuracy",
    "completeness",
    "confidentiality",
    "conformity",
    "consistency",
    "coverage",
    "uniqueness",
]

SIGNS = (
    "burned-in-declared",
    "overlay",
    "secondary-capture",
    "secondary-image",
    "text-found",
    "ultrasound-without-regions",
)
"""Signs that pixels may hold text; `deidentification.burned_in` is their usual weight."""
RESIDUE = "residual-identity"
"""An identifier of the source stands in what would be stored: always blocking."""

_ACCURACY = (
    "blank",
    "codec-crash",
    "flat",
    "mask-lost",
    "over-memory",
    "over-time",
    "palette",
    "undecodable",
    "unreadable",
)
_COMPLETENESS = (
    "attribute-missing",
    "codec-missing",
    "label-without-image",
    "mask-unplaced",
    "mask-unused",
    "no-label",
    "no-mask",
    "no-pixels",
    "no-place",
    "no-sop-class",
    "no-spacing",
    "no-window",
    "slice-gap",
    "truncated",
)
_CONFIDENTIALITY = (*SIGNS, RESIDUE, "attribute-forbidden", "review-refused", "withdrawn")
_CONFORMITY = (
    "attribute-malformed",
    "bit-layout",
    "bits-stored",
    "body-part",
    "colour",
    "columns",
    "dicomdir",
    "laterality",
    "mask-segment",
    "mask-size",
    "mask-value",
    "modality",
    "modality-table",
    "multi-frame",
    "not-a-file",
    "not-dicom",
    "orientation",
    "photometric",
    "rows",
    "slice-count",
    "slice-spacing",
    "sop-class",
    "spacing",
    "too-large",
    "too-many-pixels",
    "transfer-syntax",
    "view",
)
_CONSISTENCY = (
    "duplicate-contradicts",
    "mask-contradicts",
    "mask-empty",
    "mask-place",
    "patient-differs",
    "slices-differ",
)
_COVERAGE = (
    "class-count",
    "class-support",
    "drift",
    "over-patient-limit",
    "part-empty",
    "too-few-patients",
)
_UNIQUENESS = (
    "duplicate",
    "instance-repeated",
    "mask-repeated",
    "near-duplicate",
    "near-duplicate-across-parts",
    "slice-repeated",
)

DIMENSIONS: Mapping[str, Dimension] = MappingProxyType(
    {
        **dict.fromkeys(_ACCURACY, "accuracy"),
        **dict.fromkeys(_COMPLETENESS, "completeness"),
        **dict.fromkeys(_CONFIDENTIALITY, "confidentiality"),
        **dict.fromkeys(_CONFORMITY, "conformity"),
        **dict.fromkeys(_CONSISTENCY, "consistency"),
        **dict.fromkeys(_COVERAGE, "coverage"),
        **dict.fromkeys(_UNIQUENESS, "uniqueness"),
    }
)
"""Every check there is, by code."""

USUAL: Mapping[str, Severity] = MappingProxyType(
    dict.fromkeys((RESIDUE, "class-count", "part-empty", "too-few-patients"), "block")
)
"""What blocks unless the contract says otherwise; signs apart, everything else is warned of."""

_WHOLE = ("class-count", "class-support", "drift", "part-empty", "too-few-patients")
"""About the cohort as a whole: there is nothing to count a share of."""


def _known(code: str) -> str:
    if code not in DIMENSIONS or code == RESIDUE:
        message = "no check that a contract can weigh has this code"
        raise ValueError(message)
    return code


CheckCode: TypeAlias = Annotated[
    Name,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": sorted({*DIMENSIONS} - {RESIDUE})}),
]


class Check(Record):
    """How grave it is that one check notices something, and what helps."""

    code: CheckCode
    dimension: Dimension
    """Written out for whoever reads the contract; every code has its own."""
    severity: Severity
    most_share: float = Field(default=0.0, ge=0, lt=1)
    """Up to this share of the files, labelled rows or patients that it is about it only warns."""
    remedy: Text = ""
    """What helps, in the study's words; empty: the usual advice."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.dimension != DIMENSIONS[self.code]:
            message = f"{self.code} is of dimension {DIMENSIONS[self.code]}"
            raise ValueError(message)
        if self.severity == "quarantine" and self.code not in SIGNS:
            message = f"only a sign of text in the pixels can quarantine: {', '.join(SIGNS)}"
            raise ValueError(message)
        if self.most_share > 0 and self.code in _WHOLE:
            message = f"{self.code} is about the cohort as a whole and has no share"
            raise ValueError(message)
        return self
