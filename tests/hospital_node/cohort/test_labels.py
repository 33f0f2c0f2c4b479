"""The labels table, and every way in which it is refused."""

from pathlib import Path

import pytest

from hospital_node.cohort.labels import Label, read_labels
from schemas.contract import DataContract, PartByColumn
from schemas.errors import LabelsRefused
from tests.hospital_node.cohort.exports import contract

HEADER = "sop_instance_uid,patient_id,label,split\n"
SECRET = "Mustermann-1951"  # noqa: S105 - a name


def by_column() -> DataContract:
    return contract(parts=PartByColumn(column="split"))


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_gives_patient_class_and_part_by_uid(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "1.2,A,0,train\n1.3,A,1,train\n1.4,B, 1 ,val\n")
    assert read_labels(path, by_column()) == {
        "1.2": Label("A", 0, "train"),
        "1.3": Label("A", 1, "train"),
        "1.4": Label("B", 1, "validation"),
    }


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_spreadsheets_may_mark_and_separate_as_they_do(
    tmp_path: Path, mark: bytes, separator: str
) -> None:
    text = "patient_id,label,note,sop_instance_uid\r\nA,0,x,1.2\r\n".replace(",", separator)
    assert read_labels(written(tmp_path, mark + text.encode()), contract()) == {
        "1.2": Label("A", 0, None)
    }


REFUSED = {
    "a missing column": (
        f"sop_instance_uid,patient_id,split,{SECRET}\n1.2,A,train,x\n",
        "column label is missing; needed are sop_instance_uid, patient_id, label, split",
    ),
    "a missing part column": (
        "sop_instance_uid,patient_id,label\n1.2,A,0\n",
        "column split is missing; needed are sop_instance_uid, patient_id, label, split",
    ),
    "a column twice": (
        "sop_instance_uid,patient_id,label,label,split\n1.2,A,0,0,train\n",
        "a column stands in it twice; each may stand once",
    ),
    "an unknown label": (
        HEADER + f"1.2,A,0,train\n1.3,A,{SECRET},train\n1.4,B,,val\n",
        "2 rows with an unknown or empty value in column label; allowed are 0, 1",
    ),
    "an unknown part": (
        HEADER + f"1.2,A,0,{SECRET}\n",
        "1 row with an unknown or empty value in column split; allowed are train, val",
    ),
    "a short row": (
        HEADER + f"1.2,{SECRET}\n",
        "1 row with another number of cells than the header's 4",
    ),
    "a decimal comma that shifts the label": (
        HEADER + f"1.2,{SECRET},0,5,train\n",
        "1 row with another number of cells than the header's 4",
    ),
    "a repeated UID": (
        HEADER + f"1.2,{SECRET},0,train\n1.2,{SECRET},0,train\n",
        "1 value of sop_instance_uid in more than one row; each has one",
    ),
    "no UID": (HEADER + f",{SECRET},0,train\n", "1 row without sop_instance_uid"),
    "no patient": (HEADER + "1.2,,0,train\n1.3, ,0,train\n", "2 rows without patient_id"),
    "a patient in both parts": (
        HEADER + f"1.2,{SECRET},0,train\n1.3,{SECRET},0,val\n",
        "1 patient with rows in both parts; a patient belongs to one",
    ),
    "no rows": (HEADER, "no rows; one for each image is needed"),
    "nothing at all": ("", "columns sop_instance_uid, patient_id, label, split are missing"),
    "another encoding": (
        f"{HEADER}1.2,Müller{SECRET},0,train\n".encode("utf-16"),
        "not a readable",
    ),
    "a broken quote": (HEADER + f'1.2,"{SECRET},0,train\n', "not a readable table"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_table_with_a_fault_is_refused_whole_without_showing_a_value(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(LabelsRefused) as refusal:
        read_labels(written(tmp_path, text), by_column())

    assert refusal.value.message.startswith(f"labels table refused: {message}")
    assert refusal.value.next_step
    assert refusal.value.exit_status == 2
    assert SECRET not in refusal.value.message + refusal.value.next_step


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsRefused, match="no such file; a table of labels is needed") as refusal:
        read_labels(tmp_path / SECRET, contract())
    assert SECRET not in refusal.value.message
