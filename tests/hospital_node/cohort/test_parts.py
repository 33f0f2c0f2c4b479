from pathlib import Path

import pytest

from hospital_node.cohort.parts import settle_parts
from schemas.errors import CohortChanged, HomeRefused, NotConforming
from schemas.manifest import DatasetManifest, ImageRow

KEY = bytes(32)
ZERO = "sha256:" + "0" * 64


def cohort(**parts: str) -> DatasetManifest:
    rows = tuple(
        ImageRow(image=ZERO, patient=f"{int(name[1:]):032x}", part=part, label=0)  # type: ignore[arg-type]
        for name, part in sorted(parts.items())
    )
    return DatasetManifest(
        site="a",
        contract=ZERO,
        pack=ZERO,
        height=1,
        width=1,
        read=len(rows),
        rows=rows,
        not_used=(),
    )


def test_a_patient_keeps_its_part_over_all_cohorts(tmp_path: Path) -> None:
    settle_parts(tmp_path / "cohort", cohort(p1="train", p2="validation"), key=KEY)
    settle_parts(tmp_path / "cohort", cohort(p1="train", p3="validation"), key=KEY)
    with pytest.raises(NotConforming, match="2 patients would change between train and validation"):
        settle_parts(
            tmp_path / "cohort", cohort(p1="validation", p2="validation", p3="train"), key=KEY
        )


def test_a_refused_cohort_changes_nothing(tmp_path: Path) -> None:
    settle_parts(tmp_path / "cohort", cohort(p1="train"), key=KEY)
    before = (tmp_path / "cohort.parts.json").read_bytes()
    with pytest.raises(NotConforming):
        settle_parts(tmp_path / "cohort", cohort(p1="validation", p2="train"), key=KEY)
    assert (tmp_path / "cohort.parts.json").read_bytes() == before
    settle_parts(tmp_path / "cohort", cohort(p2="validation"), key=KEY)


def test_a_patient_who_left_keeps_the_part(tmp_path: Path) -> None:
    settle_parts(tmp_path / "cohort", cohort(p1="train", p2="train"), key=KEY)
    settle_parts(tmp_path / "cohort", cohort(p2="train"), key=KEY)
    with pytest.raises(NotConforming, match="1 patients"):
        settle_parts(tmp_path / "cohort", cohort(p1="validation"), key=KEY)


def test_a_damaged_register_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cohort.parts.json").write_bytes(b"{")
    with pytest.raises(CohortChanged, match="register of parts"):
        settle_parts(tmp_path / "cohort", cohort(p1="train"), key=KEY)


def test_under_another_key_the_same_patients_would_be_new_ones(tmp_path: Path) -> None:
    settle_parts(tmp_path / "cohort", cohort(p1="train"), key=KEY)
    before = (tmp_path / "cohort.parts.json").read_bytes()
    with pytest.raises(HomeRefused, match="keys/pseudonym is another one"):
        settle_parts(tmp_path / "cohort", cohort(p9="validation"), key=bytes(31) + b"1")
    assert (tmp_path / "cohort.parts.json").read_bytes() == before
