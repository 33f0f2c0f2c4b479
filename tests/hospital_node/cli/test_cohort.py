"""`hospital-node cohort`, as a person types it."""

import json
from pathlib import Path

import pytest
from pydicom.uid import MPEG2MPML, MPEG4HP41, RLELossless

from hospital_node.cli import app
from hospital_node.config import NodeHome
from schemas.audit.events import CohortIngested, CohortWithdrawn
from schemas.audit.lines import read_events
from schemas.command_line import run
from schemas.reference import ReferenceHistogram
from schemas.update import Update
from tests import study
from tests.desk import desk
from tests.hospital_node.cohort.exports import (
    contract,
    image,
    write,
    write_export,
    write_labels,
)

JSON = ("--format", "json")
CONTRACT = """
schema_version = 1
id = "small"
version = "1.0.0"
status = "draft"
title = "Small images"
purpose = "Tests"

[cohort]
inclusion = "All"
min_patients = 2
max_images_per_patient = 3
parts = { kind = "hash", validation_fraction = 0.25 }

[image]
modalities = ["DX"]
sop_classes = ["1.2.840.10008.5.1.4.1.1.1.1"]
rows = { least = 8, most = 64 }
columns = { least = 8, most = 64 }
bits_stored = { least = 8, most = 16 }
photometric = ["MONOCHROME1", "MONOCHROME2"]

[preprocessing]
intensity = { kind = "stored-bits" }
height = 8
width = 8
normalisation = { kind = "image", floor = 0.02 }

[labels]
column = "label"
classes = [{ value = "0", meaning = "No finding" }, { value = "1", meaning = "Finding" }]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_export(tmp_path / "export")
    (tmp_path / "small.contract.toml").write_text(CONTRACT, encoding="utf-8")
    assert run(app, ["init", "--home", str(tmp_path / "home"), "--site", "northgate"]) == 0
    return tmp_path / "home"


def typed(home: Path, *words: str) -> int:
    return run(app, ["cohort", *words, "--home", str(home)])


def ingest(home: Path, *words: str) -> int:
    beside = home.parent
    command = ["ingest", "--contract", str(beside / "small.contract.toml"), "--from", "folder"]
    return typed(home, *command, "--source", str(beside / "export" / "dicom"), *words)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    last = capsys.readouterr().out.splitlines()[-1]
    value = json.loads(last)
    assert isinstance(value, dict)
    return value


def conforming(home: Path) -> list[bool]:
    events = read_events(NodeHome(home).journal)
    return [one.facts.conforms for one in events if isinstance(one.facts, CohortIngested)]


def test_the_written_contract_is_the_one_of_the_tests() -> None:
    assert contract().from_toml(CONTRACT).digest == contract().digest


def test_an_ingest_tells_its_counts_and_is_journalled(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(home, "--json") == 0
    result = told(capsys)
    assert (result["read"], result["used"], result["refused"]) == (24, 24, 0)
    assert result["conforms"] is True
    assert conforming(home) == [True]

    assert typed(home, "check", "--contract", str(home.parent / "small.contract.toml"), *JSON) == 0
    assert told(capsys) == result
    assert typed(home, "show", "--json") == 0
    assert told(capsys) == {"cohorts": [result]}


def test_people_read_one_line_and_two_tables(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.parent / "export" / "dicom" / "note.txt").write_text("no image", encoding="utf-8")
    assert ingest(home) == 0
    said = capsys.readouterr()
    assert (
        "small 1.0.0: 25 files read, 24 used, 0 quarantined, 1 refused; 12 patients; conforms"
        in said.out
    )
    assert "not-dicom" in said.out
    assert said.err == ""
    assert typed(home, "show") == 0
    assert capsys.readouterr().out.splitlines() == said.out.splitlines()


def test_a_refusal_is_a_paragraph_a_step_and_a_status(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(
        home.parent / "other.csv", [{"sop_instance_uid": "1.2", "patient_id": "A"}]
    )
    assert ingest(home, "--labels", str(labels)) == 2
    assert capsys.readouterr().err == (
        "labels table refused: column label is missing; "
        "needed are sop_instance_uid, patient_id, label\n"
        "next: add what is missing, or name another table with --labels FILE\n"
    )
    assert conforming(home) == []


def test_a_cohort_that_does_not_conform_is_journalled_as_such(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home.parent / "small.contract.toml"
    path.write_text(CONTRACT.replace("min_patients = 2", "min_patients = 13"), encoding="utf-8")
    assert ingest(home) == 4
    assert "12 patients can be used, at least 13 are needed" in capsys.readouterr().err
    assert conforming(home) == [False]
    assert typed(home, "check", "--contract", str(path)) == 1
    assert typed(home, "show") == 0
    assert capsys.readouterr().out == "no cohort is stored here\n"


def test_a_changed_cohort_is_not_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ingest(home) == 0
    (pixels,) = (home / "cohort").glob("*/pixels.npy")
    pixels.write_bytes(pixels.read_bytes()[:-4] + bytes(4))
    capsys.readouterr()
    check = ["check", "--contract", str(home.parent / "small.contract.toml")]
    for words, status in ((["show"], 4), (check, 1)):
        assert typed(home, *words) == status
        assert "only what was ingested is allowed" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["show"], ["check", "--contract", "missing.toml"]])
def test_a_missing_home_or_contract_is_refused(tmp_path: Path, words: list[str]) -> None:
    assert typed(tmp_path / "nowhere", *words) in {2, 3}


def test_patients_are_not_divided_anew_under_a_ledger_that_prices_their_parts(
    tmp_path: Path,
) -> None:
    with desk(tmp_path, private=True) as one:
        assert isinstance(one.asked(), Update)
        register = one.node.home.cohort.with_name("cohort.parts.json")
    content = register.read_bytes()
    register.unlink()
    study.ingest(one.study, "east", expect=7)
    assert not register.exists()
    register.write_bytes(content)
    study.ingest(one.study, "east")


def test_a_withdrawal_is_journalled_in_a_persons_name_without_the_patients(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(home) == 0
    listed = home.parent / "withdrawn.txt"
    listed.write_text("P000\n\n P001 \nnobody\n", encoding="utf-8")
    capsys.readouterr()
    words = ["withdraw", "--patients", str(listed), "--approver", "A. Steward, DPO"]
    assert typed(home, *words, "--json") == 0
    assert told(capsys) == {
        "patients": 3,
        "found": 2,
        "images": 4,
        "changed": [contract().digest],
        "removed": [],
    }
    (event,) = [
        one.facts
        for one in read_events(NodeHome(home).journal)
        if isinstance(one.facts, CohortWithdrawn)
    ]
    assert (event.approver, event.changed) == ("A. Steward, DPO", (contract().digest,))
    assert ingest(home, "--json") == 0
    assert told(capsys)["refused"] == 4


@pytest.mark.parametrize("text", ["", "x" * 65])
def test_a_list_of_nobody_or_of_no_identifier_is_refused(home: Path, text: str) -> None:
    listed = home.parent / "withdrawn.txt"
    listed.write_text(text, encoding="utf-8")
    words = ["withdraw", "--patients", str(listed), "--approver", "A. Steward, DPO"]
    assert typed(home, *words) == 2
    assert typed(home, *words[:2], "missing.txt", *words[3:]) == 2


def test_a_missing_codec_is_named_before_the_work_starts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, syntax in enumerate((MPEG2MPML, MPEG4HP41)):
        dataset = image(number, patient="P000")
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        write(dataset, home.parent / "export" / "dicom" / "P000" / f"{number}.dcm")
    assert ingest(home) == 0
    said = capsys.readouterr()
    assert said.err == (
        "no installed codec reads MPEG-4 AVC/H.264 High Profile / Level 4.1; "
        "files of this transfer syntax: 1\n"
        "no installed codec reads MPEG2 Main Profile / Main Level; "
        "files of this transfer syntax: 1\n"
    )
    assert "codec-missing (1): found no installed codec (MPEG2 Main Profile" in said.out
    assert "codec-missing (1): found no installed codec (MPEG-4 AVC" in said.out


def test_a_histogram_is_printed_as_a_reference_and_an_empty_range_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(home) == 0
    rules = ("--contract", str(home.parent / "small.contract.toml"))
    capsys.readouterr()
    assert typed(home, "histogram", *rules, "--range", "-2", "2", "--bins", "4", "--json") == 0
    found = json.dumps(told(capsys)["reference"])
    reference = ReferenceHistogram.model_validate_json(found)
    assert sum(reference.shares) == pytest.approx(1)
    assert typed(home, "histogram", *rules, "--range", "2", "2") == 2
    assert "histogram refused: 2 is not below 2" in capsys.readouterr().err
