"""A cohort and all that was noticed while it was made, against its contract: the findings.

* A check that the contract weighs has the contract's severity and remedy; up to the share that it
  tolerates, it only warns.
* Each finding points at the place in the contract that decides, and says what stands there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

from hospital_node.cohort.findings import Finding
from hospital_node.cohort.near_duplicates import alike
from hospital_node.cohort.reasons import REASONS
from hospital_node.cohort.survey import Survey
from schemas.checks import DIMENSIONS, Severity
from schemas.contract import DataContract
from schemas.manifest import DatasetManifest, Part

__all__ = ["Evidence", "examined", "found_residue"]

FEW_PATIENTS = 5
"""Below it, a class in a part has too few patients for a figure to mean much."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was noticed while a cohort was made, beside its manifest."""

    noted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Files by code of `REASONS`, each with a detail or an empty text: those not used, and those
    with a risk that the contract only warns of."""
    labels: int = 0
    """Rows of the labels table."""
    unread_labels: int = 0
    """Those without an image that could be read."""
    survey: Survey | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a check noticed, before the contract weighs it."""

    code: str
    pointer: str
    found: str
    expected: str
    remedy: str
    count: int
    of: int = 0
    """How many it could have been; 0: the check is about the whole."""
    usual: Severity | None = None
    """Where it depends on more than the code."""


def examined(
    manifest: DatasetManifest, contract: DataContract, evidence: Evidence
) -> tuple[Finding, ...]:
    """Check a cohort against its contract."""
    seen = (
        *_patients(manifest, contract),
        *_parts(manifest),
        *_classes(manifest, contract),
        *_labels(evidence),
        *_pixels(manifest, contract, evidence.survey),
        *(_file(key, count, contract, manifest) for key, count in sorted(evidence.noted.items())),
    )
    return tuple(_weighed(one, contract) for one in seen)


def found_residue(count: int, contract: DataContract) -> tuple[Finding, ...]:
    """Return the finding about identifiers that are left in what would be stored, if any is."""
    if not count:
        return ()
    seen = _Seen(
        "residual-identity",
        "",
        found="identifiers of the source in what would be stored",
        expected="none of them",
        remedy="store nothing; report this to whoever maintains the software",
        count=count,
    )
    return (_weighed(seen, contract),)


def _weighed(seen: _Seen, contract: DataContract) -> Finding:
    own = contract.check(seen.code)
    severity = contract.severity(seen.code)
    if own is None:
        severity = seen.usual or severity
    elif own.severity == "block" and seen.count <= own.most_share * seen.of:
        severity = "warn"
    return Finding(
        code=seen.code,
        dimension=DIMENSIONS[seen.code],
        pointer=seen.pointer,
        expected=seen.expected,
        found=seen.found,
        count=seen.count,
        severity=severity,
        remedy=own.remedy if own is not None and own.remedy else seen.remedy,
    )


def _patients(manifest: DatasetManifest, contract: DataContract) -> Iterator[_Seen]:
    patients, least = manifest.patients(), contract.cohort.min_patients
    if patients < least:
        yield _Seen(
            "too-few-patients",
            "/cohort/min_patients",
            found=f"{patients} patients can be used",
            expected=f"at least {least} are needed",
            remedy="add patients to the source, or see from the codes why files were not used",
            count=patients,
        )


def _parts(manifest: DatasetManifest) -> Iterator[_Seen]:
    severities: Mapping[Part, Severity] = {"train": "block", "validation": "warn"}
    for part, severity in severities.items():
        if manifest.patients(part) == 0:
            yield _Seen(
                "part-empty",
                "/cohort/parts",
                found=f"no patient in the {part} part",
                expected="each part needs patients",
                remedy="see how the contract divides patients into parts",
                count=0,
                usual=severity,
            )


def _classes(manifest: DatasetManifest, contract: DataContract) -> Iterator[_Seen]:
    least = contract.cohort.min_patients_of_class
    for label, one in enumerate(contract.labels.classes):
        counts = {
            part: len(
                {row.patient for row in manifest.rows if row.part == part and row.label == label}
            )
            for part in get_args(Part)
        }
        if sum(counts.values()) < least:
            yield _Seen(
                "class-count",
                "/cohort/min_patients_of_class",
                found=f"{sum(counts.values())} patients of class {one.value} can be used",
                expected=f"at least {least} of each class are needed",
                remedy="add patients of this class to the source",
                count=sum(counts.values()),
            )
        for part, patients in counts.items():
            if patients < FEW_PATIENTS:
                yield _Seen(
                    "class-support",
                    f"/labels/classes/{label}",
                    found=f"few patients of class {one.value} in the {part} part",
                    expected=f"at least {FEW_PATIENTS} patients of each class in each part",
                    remedy="expect figures of this site to be undefined or unsteady",
                    count=patients,
                )


def _labels(evidence: Evidence) -> Iterator[_Seen]:
    if evidence.unread_labels:
        yield _Seen(
            "label-without-image",
            "/labels",
            found="rows without an image that could be read",
            expected="an image for each row of the labels table",
            remedy="check that the export is complete",
            count=evidence.unread_labels,
            of=evidence.labels,
        )


def _pixels(
    manifest: DatasetManifest, contract: DataContract, survey: Survey | None
) -> Iterator[_Seen]:
    if survey is None:
        return
    if survey.flat:
        yield _Seen(
            "flat",
            "/preprocessing",
            found="images of one value after the recipe",
            expected="images that show something",
            remedy="see whether their window or their size fits the contract's recipe",
            count=survey.flat,
            of=len(manifest.rows),
        )
    yield from _alike(manifest, survey)
    reference = contract.reference
    if reference is None:
        return
    distance, most = reference.distance_to(survey.shares), reference.most_distance
    if distance > most:
        how = "at most twice" if distance <= 2 * most else "more than twice"
        yield _Seen(
            "drift",
            "/reference/most_distance",
            found=f"pixel values {how} as far from the reference as is allowed",
            expected=f"a distance of at most {most:g} ({reference.distance})",
            remedy="see whether devices, export or window are those that the contract means",
            count=len(manifest.rows),
        )


def _alike(manifest: DatasetManifest, survey: Survey) -> Iterator[_Seen]:
    found = alike(manifest.rows, survey.signs)
    for code, count, what in (
        ("near-duplicate", found.patients, "patients with an image like another patient's"),
        ("near-duplicate-across-parts", found.across, "such patients in different parts"),
    ):
        if count:
            yield _Seen(
                code,
                "/cohort/parts",
                found=what,
                expected="each person under one patient identifier",
                remedy="find out whether one person has two identifiers, and mend the labels table",
                count=count,
                of=manifest.patients(),
            )


def _file(
    key: tuple[str, str], count: int, contract: DataContract, manifest: DatasetManifest
) -> _Seen:
    code, detail = key
    reason = REASONS[code]
    return _Seen(
        code,
        reason.pointer,
        found=f"{reason.found} ({detail})" if detail else reason.found,
        expected=reason.expected or _decided(contract, reason.pointer),
        remedy=reason.remedy,
        count=count,
        of=manifest.read,
    )


def _decided(contract: DataContract, pointer: str) -> str:
    """Say what the contract holds at a pointer."""
    place: object = contract.model_dump(mode="json")
    for step in pointer.split("/")[1:]:
        place = place.get(step, "") if isinstance(place, dict) else ""
    match place:
        case {"least": least, "most": most}:
            return f"{least:g} to {most:g}"
        case [*values]:
            return ", ".join(str(value) for value in values)
        case dict():
            return "as the contract says"
        case _:
            return str(place)
