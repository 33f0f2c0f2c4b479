"""The store gives back what was ingested, or says that it changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hospital_node.cohort.store import (
    cohort_folder,
    open_cohort,
    stored_contracts,
    workshop,
)
from schemas.errors import CohortChanged, CohortRefused
from tests.hospital_node.cohort.exports import contract, ingested, recipe, write_export


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("export"))


def test_an_opened_cohort_is_read_only_and_its_parts_are_whole(
    export: Path, tmp_path: Path
) -> None:
    report = ingested(export, tmp_path)
    cohort = open_cohort(tmp_path, contract().digest)

    assert cohort.manifest == report.manifest
    assert cohort.findings == report.findings
    assert cohort.contract == contract()
    assert not cohort.pixels.flags.writeable
    assert cohort.pixels.dtype == np.float32
    assert cohort.pixels.shape == (24, 8, 8)
    both = np.concatenate([cohort.rows("train"), cohort.rows("validation")])
    assert sorted(both.tolist()) == list(range(24))


def test_patients_are_numbered_from_zero_within_a_part(export: Path, tmp_path: Path) -> None:
    ingested(export, tmp_path)
    cohort = open_cohort(tmp_path, contract().digest)
    for part in ("train", "validation"):
        rows, patients, labels = cohort.rows(part), cohort.patients(part), cohort.labels(part)
        assert set(patients.tolist()) == set(range(cohort.manifest.patients(part)))
        for row, patient, label in zip(rows, patients, labels, strict=True):
            same = cohort.manifest.rows[row].patient
            twins = {
                cohort.manifest.rows[rows[i]].patient for i in np.flatnonzero(patients == patient)
            }
            assert twins == {same}
            assert cohort.manifest.rows[row].label == label


def test_a_cohort_that_was_never_ingested_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CohortRefused, match=r"^cohort refused: found none for contract sha256:"
    ) as no:
        open_cohort(tmp_path, contract().digest)
    assert type(no.value) is CohortRefused
    assert "hospital-node cohort ingest" in no.value.next_step


CHANGES = {
    "a pixel": ("pixels.npy", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    "the pixels' shape": ("pixels.npy", lambda content: content.replace(b"4, 8, 8)", b"4, 4,16)")),
    "missing pixels": ("pixels.npy", lambda content: content[:-64]),
    "no pixels": ("pixels.npy", lambda _: b""),
    "a label": ("manifest.json", lambda content: content.replace(b'"label":1', b'"label":0', 1)),
    "a part": ("manifest.json", lambda content: content.replace(b'"train"', b'"validation"', 1)),
    "a space": ("manifest.json", lambda content: content + b" "),
    "the contract": ("contract.json", lambda content: content.replace(b"Tests", b"Other")),
    "a finding": ("findings.json", lambda _: b"{}"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change"), CHANGES.values(), ids=CHANGES)
def test_a_change_after_ingest_is_noticed(
    export: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    ingested(export, tmp_path)
    path = cohort_folder(tmp_path, contract().digest) / name
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    with pytest.raises(CohortChanged, match="only what was ingested is allowed") as refusal:
        open_cohort(tmp_path, contract().digest)
    assert refusal.value.exit_status == 4
    assert str(tmp_path) not in str(refusal.value)


def test_a_missing_file_is_noticed(export: Path, tmp_path: Path) -> None:
    ingested(export, tmp_path)
    (cohort_folder(tmp_path, contract().digest) / "pixels.npy").unlink()
    with pytest.raises(CohortChanged, match="found a file that is missing or damaged"):
        open_cohort(tmp_path, contract().digest)


def test_only_the_owner_may_read_a_cohort(export: Path, tmp_path: Path) -> None:
    ingested(export, tmp_path)
    folder = cohort_folder(tmp_path, contract().digest)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o077 == 0


def test_cohorts_of_two_contracts_stand_side_by_side(export: Path, tmp_path: Path) -> None:
    other = contract(preprocessing=recipe(size=(16, 16)))
    ingested(export, tmp_path)
    ingested(export, tmp_path, other)
    assert {one.digest for one in stored_contracts(tmp_path)} == {contract().digest, other.digest}
    assert open_cohort(tmp_path, other.digest).pixels.shape == (24, 16, 16)


def test_what_a_crash_left_is_cleared_and_a_workshop_leaves_nothing(tmp_path: Path) -> None:
    left = tmp_path / ".ingesting-crashed"
    left.mkdir()
    (left / "pixels.npy").touch()
    with workshop(tmp_path) as folder:
        assert not left.exists()
        (folder / "waiting").touch()
    assert list(tmp_path.iterdir()) == []
