"""What the pixels of a cohort show together: drift, flat images, each patient as one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hospital_node.cohort.findings import Finding
from hospital_node.cohort.store import open_cohort
from hospital_node.cohort.survey import Survey, shares_of
from hospital_node.cohort.withdrawal import withdraw
from schemas.checks import Check
from schemas.contract import DataContract
from schemas.errors import NotConforming
from schemas.manifest import ImageRow
from schemas.recipe import FixedNormalisation
from schemas.reference import ReferenceHistogram
from tests.hospital_node.cohort.exports import contract, ingested, recipe, write_export

EVEN = ReferenceHistogram(low=0.0, high=1.0, shares=(0.25,) * 4, most_distance=0.2)
SKEWED = EVEN.model_copy(update={"shares": (0.97, 0.01, 0.01, 0.01)})


def rows(*patients: int) -> list[ImageRow]:
    return [
        ImageRow(image=f"sha256:{index:064x}", patient=f"{one:032x}", part="train", label=one % 2)
        for index, one in enumerate(patients)
    ]


def test_each_patient_weighs_the_same_however_many_images_there_are() -> None:
    survey = Survey.of([row.patient for row in rows(1, 1, 1, 2)], EVEN)
    for index in range(3):
        survey.take(index, np.zeros((8, 8), np.float32))
    survey.take(3, np.full((8, 8), 0.99, np.float32))
    assert survey.shares == pytest.approx((0.5, 0.0, 0.0, 0.5))
    assert survey.flat == 4


def test_what_lies_outside_the_range_counts_at_its_ends() -> None:
    image = np.array([[-5.0, 0.0], [0.3, 7.0]], np.float32)
    assert shares_of(image, EVEN).tolist() == [0.5, 0.25, 0.0, 0.25]


@given(st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=64))
def test_shares_add_up_to_one(values: list[float]) -> None:
    shares = shares_of(np.array(values, np.float32), EVEN)
    assert shares.sum() == pytest.approx(1)


def agreed(reference: ReferenceHistogram | None, *, blocks: bool = False) -> DataContract:
    fixed = recipe(normalisation=FixedNormalisation(mean=0.0, deviation=1.0))
    check = Check(code="drift", dimension="coverage", severity="block")
    update = {"reference": reference, "checks": (check,) if blocks else ()}
    return contract(preprocessing=fixed).model_copy(update=update)


def drift(folder: Path, reference: ReferenceHistogram | None) -> list[Finding]:
    write_export(folder)
    report = ingested(folder, folder / "store", agreed(reference))
    return [one for one in report.findings if one.code == "drift"]


def test_a_cohort_like_the_reference_does_not_drift(tmp_path: Path) -> None:
    assert drift(tmp_path, EVEN) == []


def test_drift_is_told_with_the_distance_allowed_and_no_figure_of_the_cohort(
    tmp_path: Path,
) -> None:
    (found,) = drift(tmp_path, SKEWED)
    assert found.pointer == "/reference/most_distance"
    assert found.expected == "a distance of at most 0.2 (wasserstein-1)"
    assert found.found == "pixel values at most twice as far from the reference as is allowed"
    assert (found.severity, found.count) == ("warn", 24)


def test_without_a_reference_nothing_is_measured(tmp_path: Path) -> None:
    assert drift(tmp_path, None) == []


def test_drift_blocks_where_the_contract_says_so(tmp_path: Path) -> None:
    write_export(tmp_path)
    with pytest.raises(NotConforming, match="from the reference as is allowed"):
        ingested(tmp_path, tmp_path / "store", agreed(SKEWED, blocks=True))


def test_who_withdrew_is_not_in_the_new_histogram(tmp_path: Path) -> None:
    write_export(tmp_path)
    rules = agreed(SKEWED)
    ingested(tmp_path, tmp_path / "store", rules)
    before = open_cohort(tmp_path / "store", rules.digest)
    gone = next(row.patient for row in before.manifest.rows if row.part == "train")
    withdraw(tmp_path / "store", [gone])
    after = open_cohort(tmp_path / "store", rules.digest)
    assert [one.count for one in after.findings if one.code == "drift"] == [22]
