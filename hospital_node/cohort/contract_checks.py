"""What a cohort's checks against its contract noticed.

* A finding says a code, a place in the contract, what was expected, a category of what was found,
  and how often; never a value, a file name or an identifier.
* Findings stay at the site. A cohort conforms when none of them blocks.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from pydantic import Field

from hospital_node.cohort.reasons import REASONS
from schemas.base import Record
from schemas.contract import DataContract, Severity
from schemas.errors import NotConforming
from schemas.manifest import DatasetManifest, Part
from schemas.names import Digest, Name, Text

__all__ = ["Examination", "Finding", "conforms", "examined", "refuse_unfit"]

FEW_PATIENTS = 5
"""Below it, a class in a part has too few patients for a figure to mean much."""


class Finding(Record):
    """One thing that a check noticed."""

    code: Name
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


def examined(
    manifest: DatasetManifest,
    contract: DataContract,
    *,
    noted: Mapping[tuple[str, str], int],
    unread_labels: int,
) -> tuple[Finding, ...]:
    """Check a cohort against its contract.

    `noted` counts codes of `REASONS`, each with a detail or an empty text, for files not used and
    for risks that the contract only warns of; `unread_labels` counts rows of the labels table
    without an image that could be read.
    """
    cohort = (
        *_patients(manifest, contract),
        *_parts(manifest),
        *_classes(manifest, contract),
        *_labels(unread_labels),
    )
    files = (_of_files(key, count, contract) for key, count in sorted(noted.items()))
    return (*cohort, *files)


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


def _patients(manifest: DatasetManifest, contract: DataContract) -> Iterator[Finding]:
    patients, least = manifest.patients(), contract.cohort.min_patients
    if patients < least:
        yield Finding(
            code="too-few-patients",
            pointer="/cohort/min_patients",
            expected=f"at least {least} are needed",
            found=f"{patients} patients can be used",
            count=patients,
            severity="block",
            remedy="add patients to the source, or see from the codes why files were not used",
        )


def _parts(manifest: DatasetManifest) -> Iterator[Finding]:
    severities: Mapping[Part, Severity] = {"train": "block", "validation": "warn"}
    for part, severity in severities.items():
        if manifest.patients(part) == 0:
            yield Finding(
                code="part-empty",
                pointer="/cohort/parts",
                expected="each part needs patients",
                found=f"no patient in the {part} part",
                count=0,
                severity=severity,
                remedy="see how the contract divides patients into parts",
            )


def _classes(manifest: DatasetManifest, contract: DataContract) -> Iterator[Finding]:
    for part in get_args(Part):
        for label, one in enumerate(contract.labels.classes):
            patients = len(
                {row.patient for row in manifest.rows if row.part == part and row.label == label}
            )
            if patients < FEW_PATIENTS:
                yield Finding(
                    code="class-support",
                    pointer=f"/labels/classes/{label}",
                    expected=f"at least {FEW_PATIENTS} patients of each class in each part",
                    found=f"few patients of class {one.value} in the {part} part",
                    count=patients,
                    severity="warn",
                    remedy="expect figures of this site to be undefined or unsteady",
                )


def _labels(unread: int) -> Iterator[Finding]:
    if unread:
        yield Finding(
            code="label-without-image",
            pointer="/labels",
            expected="an image for each row of the labels table",
            found="rows without an image that could be read",
            count=unread,
            severity="warn",
            remedy="check that the export is complete",
        )


def _of_files(key: tuple[str, str], count: int, contract: DataContract) -> Finding:
    code, detail = key
    reason = REASONS[code]
    severity: Severity = "warn"
    if reason.outcome == "quarantined":
        severity = contract.deidentification.burned_in
    return Finding(
        code=code,
        pointer=reason.pointer,
        expected=reason.expected or _decided(contract, reason.pointer),
        found=f"{reason.found} ({detail})" if detail else reason.found,
        count=count,
        severity=severity,
        remedy=reason.remedy,
    )


def _decided(contract: DataContract, pointer: str) -> str:
    """Say what the contract holds at a pointer."""
    place: object = contract.model_dump(mode="json")
    for step in pointer.split("/")[1:]:
        place = place[step] if isinstance(place, dict) else ""
    match place:
        case {"least": least, "most": most}:
            return f"{least} to {most}"
        case [*values]:
            return ", ".join(str(value) for value in values)
        case dict():
            return "as the contract says"
        case _:
            return str(place)
