"""Images that look alike under two patients are noticed; those that are alike by chance are not."""

from pathlib import Path

import numpy as np

from hospital_node.cohort.near_duplicates import near_duplicates
from hospital_node.cohort.store import Cohort, open_cohort
from schemas.contract import PartByColumn
from tests.hospital_node.cohort.exports import (
    contract,
    image,
    ingested,
    label,
    pixels,
    recipe,
    write,
    write_labels,
)


def cohort(folder: Path, *, twice: bool, split: bool) -> Cohort:
    """Store twelve patients; perhaps the last is the first under another name, slightly changed."""
    agreed = contract(preprocessing=recipe(size=(16, 16)), parts=PartByColumn(column="part"))
    rows = []
    for number in range(12):
        values = pixels(number)
        if twice and number == 11:
            values = np.clip(pixels(0).astype(np.int32) + 1, 0, 4095).astype(np.uint16)
        patient = f"P{number:03d}"
        write(image(number, patient=patient, values=values), folder / "dicom" / patient)
        part = "val" if number == 11 and split else ("train" if number % 3 else "val")
        part = "train" if number == 0 else part
        part = "train" if number == 11 and not split else part
        rows.append(label(number, patient, str(number % 2)) | {"part": part})
    write_labels(folder / "labels.csv", rows)
    ingested(folder, folder / "store", agreed)
    return open_cohort(folder / "store", agreed.digest)


def found(one: Cohort) -> dict[str, int]:
    return {finding.code: finding.count for finding in near_duplicates(one)}


def test_different_images_are_no_duplicates(tmp_path: Path) -> None:
    assert found(cohort(tmp_path, twice=False, split=True)) == {}


def test_one_person_under_two_names_is_noticed(tmp_path: Path) -> None:
    assert found(cohort(tmp_path, twice=True, split=False)) == {"near-duplicate": 2}


def test_one_person_in_both_parts_is_noticed(tmp_path: Path) -> None:
    both = {"near-duplicate": 2, "near-duplicate-across-parts": 2}
    assert found(cohort(tmp_path, twice=True, split=True)) == both


def test_a_finding_names_nobody(tmp_path: Path) -> None:
    for one in near_duplicates(cohort(tmp_path, twice=True, split=True)):
        assert "P0" not in one.canonical().decode()
