"""What waits for a person, and what that person decided."""

from pathlib import Path

import pytest

from hospital_node.cohort.quarantine import (
    Decision,
    Quarantined,
    decide,
    decisions,
    forget,
    forget_patients,
    keep,
    pictures,
    waiting,
)
from schemas.errors import CohortChanged, InputRefused

FILE, OTHER = "a" * 32, "b" * 32


def record(file: str = FILE, *codes: str, patient: str | None = None) -> Quarantined:
    return Quarantined(
        file=file,
        codes=codes or ("overlay",),
        contract="sha256:" + "0" * 64,
        image="sha256:" + "1" * 64,
        patient=patient,
        frames=2,
    )


def decision(file: str = FILE, *codes: str) -> Decision:
    return Decision(
        file=file,
        codes=codes or ("overlay",),
        verdict="use",
        reviewer="A. Steward",
        decided="2026-01-01T00:00:00.000Z",
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    keep(tmp_path / "cohort", record(), [b"one", b"two"])
    return tmp_path / "cohort"


def test_a_kept_file_waits_with_a_picture_for_each_frame(store: Path) -> None:
    assert waiting(store) == (record(),)
    assert [one.read_bytes() for one in pictures(store, FILE)] == [b"one", b"two"]
    folder = store.with_name("cohort.quarantine")
    assert folder.stat().st_mode & 0o077 == 0
    assert all(one.stat().st_mode & 0o077 == 0 for one in (folder / FILE).iterdir())


def test_keeping_a_file_again_replaces_its_pictures(store: Path) -> None:
    keep(store, record(), [b"three"])
    assert [one.read_bytes() for one in pictures(store, FILE)] == [b"three"]


def test_a_decision_ends_the_wait_and_removes_the_pictures(store: Path) -> None:
    decide(store, decision())
    assert waiting(store) == ()
    assert pictures(store, FILE) == ()
    assert decisions(store) == {FILE: decision()}


def test_a_further_code_asks_again_and_keeps_the_earlier_decision(store: Path) -> None:
    decide(store, decision())
    keep(store, record(FILE, "burned-in-declared", "overlay"), [b"one"])
    assert [one.codes for one in waiting(store)] == [("burned-in-declared", "overlay")]
    assert decisions(store) == {FILE: decision()}


def test_what_is_no_longer_in_the_source_is_forgotten_and_decisions_are_not(store: Path) -> None:
    decide(store, decision())
    keep(store, record(OTHER), [b"one"])
    forget(store, "sha256:" + "0" * 64, besides=set())
    assert waiting(store) == ()
    assert pictures(store, OTHER) == ()
    assert decisions(store) == {FILE: decision()}


def test_a_withdrawn_patient_leaves_nothing_and_neither_does_an_unknown_one(store: Path) -> None:
    other = record(OTHER, patient="d" * 32)
    keep(store, record("c" * 32, patient="e" * 32), [b"one"])
    keep(store, other, [b"one"])
    forget_patients(store, {"e" * 32})
    assert waiting(store) == (other,)
    assert [one.name for one in store.with_name("cohort.quarantine").iterdir()] == [OTHER]


def test_nobody_decides_about_what_does_not_wait(store: Path) -> None:
    with pytest.raises(InputRefused, match="no file of this name is in quarantine"):
        decide(store, decision(OTHER))


def test_a_damaged_record_is_refused(store: Path) -> None:
    (store.with_name("cohort.quarantine") / FILE / "quarantined.json").write_text("{}")
    with pytest.raises(CohortChanged, match="quarantine refused: found a record that is damaged"):
        waiting(store)
