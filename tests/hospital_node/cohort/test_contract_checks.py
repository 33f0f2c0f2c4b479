"""What the checks of a contract notice, and when they block."""

import pytest

from hospital_node.cohort.contract_checks import Evidence, examined, found_residue
from hospital_node.cohort.findings import Finding, conforms, refuse_unfit
from hospital_node.cohort.reasons import REASONS
from schemas.checks import DIMENSIONS, RESIDUE, SIGNS, Check, Severity
from schemas.contract import DataContract
from schemas.errors import NotConforming
from schemas.manifest import DatasetManifest, ImageRow
from tests.hospital_node.cohort.exports import contract


def manifest(*, train: int = 12, validation: int = 12) -> DatasetManifest:
    """Return a cohort whose patients have one image each, of either class in turn."""
    rows = tuple(
        ImageRow(
            image=f"sha256:{number:064x}",
            patient=f"{number:032x}",
            part="train" if number < train else "validation",
            label=number % 2,
        )
        for number in range(train + validation)
    )
    return DatasetManifest(
        site="northgate",
        contract=contract().digest,
        pack="sha256:" + "0" * 64,
        height=8,
        width=8,
        read=len(rows),
        rows=rows,
        not_used=(),
    )


def findings(
    cohort: DatasetManifest,
    agreed: DataContract | None = None,
    noted: dict[tuple[str, str], int] | None = None,
    unread_labels: int = 0,
) -> tuple[Finding, ...]:
    evidence = Evidence(noted=noted or {}, labels=100, unread_labels=unread_labels)
    return examined(cohort, agreed or contract(), evidence)


def test_a_sound_cohort_has_no_findings() -> None:
    assert findings(manifest()) == ()
    assert conforms(())


def test_too_few_patients_block_with_the_number_and_the_least() -> None:
    found = findings(manifest(), contract(min_patients=25))
    assert not conforms(found)
    with pytest.raises(NotConforming) as refusal:
        refuse_unfit(found)
    assert (
        refusal.value.message == "cohort refused: 24 patients can be used, at least 25 are needed"
    )
    assert refusal.value.exit_status == 4
    assert refusal.value.next_step


def test_a_refusal_counts_the_files_by_code() -> None:
    found = findings(
        manifest(), contract(min_patients=25), {("no-label", ""): 3, ("modality", ""): 2}
    )
    with pytest.raises(NotConforming, match=r"\(files by code: 2 modality, 3 no-label\)$"):
        refuse_unfit(found)


def test_a_cohort_needs_patients_to_train_on_and_may_lack_others() -> None:
    without_train = findings(manifest(train=0))
    without_validation = findings(manifest(validation=0))
    assert [one.severity for one in without_train if one.code == "part-empty"] == ["block"]
    assert [one.severity for one in without_validation if one.code == "part-empty"] == ["warn"]


def test_a_rare_class_is_only_warned_of() -> None:
    found = findings(manifest(validation=9))
    assert [(one.code, one.pointer, one.count) for one in found] == [
        ("class-support", "/labels/classes/1", 4)
    ]
    assert conforms(found)


def test_rows_without_an_image_are_counted() -> None:
    (found,) = findings(manifest(), unread_labels=7)
    assert (found.code, found.count, found.severity) == ("label-without-image", 7, "warn")


@pytest.mark.parametrize("severity", ["block", "quarantine", "warn"])
def test_burned_in_text_weighs_what_the_contract_says(severity: Severity) -> None:
    found = findings(manifest(), contract(burned_in=severity), {("overlay", ""): 1})
    assert [one.severity for one in found] == [severity]
    assert conforms(found) == (severity != "block")


EXPECTED = {
    "modality": "DX",
    "rows": "8 to 64",
    "photometric": "MONOCHROME1, MONOCHROME2",
    "over-patient-limit": "3",
    "not-dicom": "a DICOM file (PS3.10 section 7.1)",
    "no-label": "as the contract says",
}


@pytest.mark.parametrize(("code", "expected"), EXPECTED.items())
def test_a_finding_says_what_the_contract_expects(code: str, expected: str) -> None:
    (found,) = findings(manifest(), noted={(code, ""): 1})
    assert found.expected == expected


def test_a_missing_codec_is_named() -> None:
    (found,) = findings(manifest(), noted={("codec-missing", "JPEG XL"): 4})
    assert found.found == "no installed codec (JPEG XL)"


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_points_into_the_contract_or_says_what_it_expects(code: str) -> None:
    (found,) = findings(manifest(), noted={(code, ""): 1})
    assert found.remedy
    assert found.found
    assert bool(found.pointer) or bool(found.expected)


def weighed(code: str, severity: Severity, **more: object) -> DataContract:
    """Return the small contract, which weighs one check."""
    check = Check(code=code, dimension=DIMENSIONS[code], severity=severity, **more)  # type: ignore[arg-type]
    return contract().model_copy(update={"checks": (check,)})


def test_every_reason_is_a_check_and_every_finding_has_its_dimension() -> None:
    of_the_cohort = {
        RESIDUE,
        "class-count",
        "class-support",
        "drift",
        "flat",
        "label-without-image",
        "near-duplicate",
        "near-duplicate-across-parts",
        "part-empty",
        "too-few-patients",
    }
    assert {*REASONS} | of_the_cohort == {*DIMENSIONS}
    assert {code for code, one in REASONS.items() if one.outcome == "quarantined"} == {*SIGNS}
    (found,) = findings(manifest(), noted={("rows", ""): 1})
    assert found.dimension == "conformity"


def test_a_contract_makes_a_check_graver_and_says_what_helps() -> None:
    agreed = weighed("no-label", "block", remedy="ask the registry")
    (found,) = findings(manifest(), agreed, {("no-label", ""): 3})
    assert (found.severity, found.remedy) == ("block", "ask the registry")
    with pytest.raises(NotConforming, match="no row in the labels table, as the contract says"):
        refuse_unfit((found,))


def test_a_contract_makes_a_check_lighter() -> None:
    agreed = weighed("too-few-patients", "warn")
    agreed = agreed.model_copy(
        update={"cohort": agreed.cohort.model_copy(update={"min_patients": 25})}
    )
    (found,) = findings(manifest(), agreed)
    assert (found.code, found.severity) == ("too-few-patients", "warn")
    assert found.remedy


@pytest.mark.parametrize(("unread", "severity"), [(10, "warn"), (11, "block")])
def test_up_to_the_share_that_is_tolerated_a_check_only_warns(
    unread: int, severity: Severity
) -> None:
    agreed = weighed("label-without-image", "block", most_share=0.1)
    (found,) = findings(manifest(), agreed, unread_labels=unread)
    assert found.severity == severity


def test_one_sign_of_text_may_weigh_more_than_the_others() -> None:
    agreed = weighed("overlay", "block")
    found = findings(manifest(), agreed, {("overlay", ""): 1, ("secondary-capture", ""): 1})
    assert {one.code: one.severity for one in found} == {
        "overlay": "block",
        "secondary-capture": "quarantine",
    }
    assert agreed.must_be_seen(["overlay"])
    assert not weighed("overlay", "warn").must_be_seen(["overlay"])


def test_too_few_patients_of_a_class_block_where_the_contract_asks_for_more() -> None:
    agreed = contract()
    rules = agreed.cohort.model_copy(update={"min_patients_of_class": 13})
    found = findings(manifest(), agreed.model_copy(update={"cohort": rules}))
    assert [(one.code, one.count, one.severity) for one in found] == [
        ("class-count", 12, "block"),
        ("class-count", 12, "block"),
    ]
    rules = rules.model_copy(update={"min_patients_of_class": 12})
    assert findings(manifest(), agreed.model_copy(update={"cohort": rules})) == ()


def test_what_is_left_of_an_identifier_blocks() -> None:
    assert found_residue(0, contract()) == ()
    (found,) = found_residue(2, contract())
    assert (found.severity, found.count, found.dimension) == ("block", 2, "confidentiality")
