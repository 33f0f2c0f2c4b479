"""Images that look alike under two patients are noticed; those that are alike by chance are not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hospital_node.cohort.near_duplicates import sign_of
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
    """Return what the ingest noticed of likeness."""
    alike = (finding for finding in one.findings if finding.code.startswith("near-duplicate"))
    return {finding.code: finding.count for finding in alike}


def test_different_images_are_no_duplicates(tmp_path: Path) -> None:
    assert found(cohort(tmp_path, twice=False, split=True)) == {}


def test_one_person_under_two_names_is_noticed(tmp_path: Path) -> None:
    assert found(cohort(tmp_path, twice=True, split=False)) == {"near-duplicate": 2}


def test_one_person_in_both_parts_is_noticed(tmp_path: Path) -> None:
    both = {"near-duplicate": 2, "near-duplicate-across-parts": 2}
    assert found(cohort(tmp_path, twice=True, split=True)) == both


def test_a_finding_names_nobody(tmp_path: Path) -> None:
    for one in cohort(tmp_path, twice=True, split=True).findings:
        assert "P0" not in one.canonical().decode()


def slow_sign(image: NDArray[np.float32]) -> list[bool]:
    """Return the sign by its definition."""
    plane = image.reshape(-1, *image.shape[-2:]).mean(axis=0, dtype=np.float64)
    rows = np.array_split(plane, min(16, plane.shape[0]), axis=0)
    parts = [np.array_split(row, min(16, plane.shape[1]), axis=1) for row in rows]
    means = [float(part.mean()) for row in parts for part in row]
    return [one > sum(means) / len(means) for one in means]


@pytest.mark.parametrize("shape", [(16, 16), (64, 64), (48, 80), (8, 8), (3, 20, 20)])
def test_a_sign_is_that_of_the_definition(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(5)
    images = [random.integers(0, 2, shape).astype(np.float32) for _ in range(20)]
    images += [one + np.float32(3) for one in images]
    signs = [sign_of(one) for one in images]
    slow = [tuple(slow_sign(one)) for one in images]
    assert 0 not in signs[:1] or min(shape[-2:]) < 16
    for index, one in enumerate(signs):
        for other, another in enumerate(signs):
            if one and another:
                assert (one == another) == (slow[index] == slow[other])


def test_a_flat_image_has_no_sign() -> None:
    assert sign_of(np.zeros((32, 32), np.float32)) == 0
