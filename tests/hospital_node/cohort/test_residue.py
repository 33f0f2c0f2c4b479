"""An identifier that a record would store is noticed before it is stored."""

from pathlib import Path

import pytest

from hospital_node.cohort.admission import Known
from hospital_node.cohort.contract_checks import found_residue
from hospital_node.cohort.findings import Finding, conforms
from hospital_node.cohort.labels import Label
from hospital_node.cohort.residue import residue
from schemas.manifest import DatasetManifest
from tests.hospital_node.cohort.exports import KEY, contract, desk
from tests.hospital_node.cohort.test_contract_checks import findings, manifest

UID, PATIENT = "1.2.826.0.1.77", "DOE-1970"


def finding(found: str) -> Finding:
    return Finding(
        code="rows",
        dimension="conformity",
        pointer="/image/rows",
        expected="8 to 64",
        found=found,
        count=1,
        severity="warn",
        remedy="",
    )


def left(*found: Finding, patient: str = PATIENT, rows: DatasetManifest | None = None) -> int:
    table = {UID: Label(patient, 0, "train")}
    known = Known.of(table, contract(), desk=desk(Path("nowhere")), pictures={})
    patients = {one.patient for one in known.rows.values()}
    cohort = manifest(train=0, validation=0) if rows is None else rows
    return residue(
        cohort,
        (*findings(cohort), *found),
        contract(),
        named=(known.rows, patients),
        key=KEY,
    )


@pytest.mark.parametrize(
    "found", [f"of {PATIENT}", f"image ({UID}).", f"{UID}, {PATIENT}", f'"{PATIENT}"']
)
def test_an_identifier_in_a_finding_is_noticed(found: str) -> None:
    count = left(finding(found))
    assert count == (UID in found) + (PATIENT in found)
    assert not conforms(found_residue(count, contract()))


def test_a_sound_record_holds_none() -> None:
    assert left(finding("a height out of range")) == 0


def test_a_patient_in_a_row_who_is_none_of_the_tables_is_noticed() -> None:
    assert left(rows=manifest(train=2, validation=1)) == 3


@pytest.mark.parametrize("patient", ["12", "image", "train", "DX"])
def test_counts_prose_and_the_contracts_own_words_are_no_identifiers(patient: str) -> None:
    assert left(finding(f"12 image of DX in the {patient} part"), patient=patient) == 0
