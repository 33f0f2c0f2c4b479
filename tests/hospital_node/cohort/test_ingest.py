"""From an export to a cohort: everything is counted, nobody identified, nothing half-done."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hospital_node.cohort.deidentification import part_of, pseudonym
from hospital_node.cohort.ingest import Desk, IngestReport, ingest
from hospital_node.cohort.store import cohort_folder, open_cohort
from schemas.contract import DataContract, PartByColumn
from schemas.errors import FederationError, InputRefused, NotConforming, SourceEmpty
from tests.hospital_node.cohort.exports import (
    KEY,
    contract,
    desk,
    image,
    ingested,
    label,
    pixels,
    write,
    write_export,
    write_labels,
)

ROOT = Path(__file__).resolve().parents[3]


def not_used(report: IngestReport) -> dict[str, int]:
    return {one.code: one.files for one in report.manifest.not_used}


def stored_bytes(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*.*")}


def test_every_file_is_used_quarantined_or_refused(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    dicom = export / "dicom"
    write(image(0, patient="P000", values=pixels(0)), dicom / "copied")
    write(image(900, patient="P000"), dicom / "unlabelled")
    write(image(1, patient="P007", values=pixels(901)), dicom / "deep" / "er" / "other-patient")
    write(image(902, patient="P001", BurnedInAnnotation="YES"), dicom / "burned")
    (dicom / "DICOMDIR.txt").write_text("no image", encoding="utf-8")
    (dicom / "link").symlink_to(dicom / "copied")
    seen: list[tuple[int, int]] = []

    report = ingest(
        dicom,
        export / "labels.csv",
        contract(),
        desk=Desk("northgate", KEY, tmp_path / "store", lambda *done: seen.append(done)),
    )

    assert not_used(report) == {
        "burned-in-declared": 1,
        "duplicate": 1,
        "no-label": 1,
        "not-a-file": 1,
        "not-dicom": 1,
        "patient-differs": 1,
    }
    assert len(report.manifest.rows) == 24
    assert report.manifest.read == 30
    assert seen == [(done, 30) for done in range(1, 31)]
    outcomes = Counter(one.outcome for one in report.manifest.not_used)
    assert outcomes == {"quarantined": 1, "refused": 5}


def test_equal_sources_give_equal_cohorts_in_whatever_order_files_lie(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    flat = tmp_path / "flat"
    (flat / "dicom").mkdir(parents=True)
    shutil.copy(export / "labels.csv", flat / "dicom" / "labels.csv")
    for number, path in enumerate(sorted(export.rglob("*.dcm"), reverse=True)):
        shutil.copy(path, flat / "dicom" / str(number))

    ingested(export, tmp_path / "one")
    ingest(flat / "dicom", flat / "dicom" / "labels.csv", contract(), desk=desk(tmp_path / "other"))

    assert stored_bytes(tmp_path / "one") == stored_bytes(tmp_path / "other")


def test_patients_and_parts_are_keyed_and_the_table_may_say_the_parts(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    report = ingested(export, tmp_path / "store")
    names = [f"P{number:03d}" for number in range(12)]
    assert {row.patient: row.part for row in report.manifest.rows} == {
        pseudonym(name, key=KEY): part_of(name, key=KEY, validation_fraction=0.25) for name in names
    }

    rows = [
        label(number, f"P{number // 2:03d}", str(number // 2 % 2))
        | {"split": "val" if number < 8 else "train"}
        for number in range(24)
    ]
    write_labels(export / "labels.csv", rows)
    by_column = contract(parts=PartByColumn(column="split"))
    manifest = ingested(export, tmp_path / "another", by_column).manifest
    assert (manifest.patients("train"), manifest.patients("validation")) == (8, 4)


def test_a_file_without_patient_id_belongs_to_its_labels_patient(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    write(image(0, patient="P000", PatientID=None), export / "dicom" / "P000" / "0.dcm")
    write(image(1, patient="  P000 "), export / "dicom" / "P000" / "1.dcm")
    assert len(ingested(export, tmp_path / "store").manifest.rows) == 24


def empty(export: Path) -> None:
    shutil.rmtree(export / "dicom")
    (export / "dicom").mkdir()


def without_folder(export: Path) -> None:
    shutil.rmtree(export / "dicom")


def only_text(export: Path) -> None:
    empty(export)
    (export / "dicom" / "Doe-John.txt").write_text("Doe^John", encoding="utf-8")


def nothing_labelled(export: Path) -> None:
    write_labels(export / "labels.csv", [label(999, "P000")])


STORIES: dict[str, tuple[Any, DataContract, type[FederationError], str]] = {
    "an empty folder": (
        empty,
        contract(),
        SourceEmpty,
        "source refused: found no file in the folder or below it; at least one is needed",
    ),
    "no folder": (
        without_folder,
        contract(),
        InputRefused,
        "source refused: no such folder; a folder of DICOM files is needed",
    ),
    "no image at all": (
        only_text,
        contract(),
        SourceEmpty,
        "source refused: found no image that can be used (1 not-dicom); at least one is needed",
    ),
    "no image with a label": (
        nothing_labelled,
        contract(),
        SourceEmpty,
        "source refused: found no image that can be used (24 no-label); at least one is needed",
    ),
    "too few patients": (
        lambda _: None,
        contract(min_patients=13),
        NotConforming,
        "cohort refused: 12 patients can be used, at least 13 are needed",
    ),
}


@pytest.mark.parametrize(("spoil", "agreed", "refusal", "message"), STORIES.values(), ids=STORIES)
def test_what_cannot_be_a_cohort_is_refused_and_leaves_nothing(
    tmp_path: Path, spoil: Any, agreed: DataContract, refusal: type[FederationError], message: str
) -> None:
    export = write_export(tmp_path / "export")
    spoil(export)

    with pytest.raises(refusal) as refused:
        ingested(export, tmp_path / "store", agreed)

    assert refused.value.message == message
    assert refused.value.next_step
    assert not list((tmp_path / "store").glob("*"))


def test_a_refused_ingest_leaves_the_earlier_cohort_as_it_was(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    ingested(export, tmp_path / "store")
    before = stored_bytes(tmp_path / "store")
    only_text(export)

    with pytest.raises(SourceEmpty):
        ingested(export, tmp_path / "store")

    assert stored_bytes(tmp_path / "store") == before


def test_a_new_ingest_replaces_the_cohort_whole(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    ingested(export, tmp_path / "store")
    write(image(0, patient="P000", values=pixels(77)), export / "dicom" / "P000" / "0.dcm")

    report = ingested(export, tmp_path / "store")

    assert open_cohort(tmp_path / "store", contract().digest).manifest == report.manifest
    assert [path.name for path in (tmp_path / "store").iterdir()] == [
        cohort_folder(tmp_path / "store", contract().digest).name
    ]


def demo_contract(name: str) -> DataContract:
    path = ROOT / "deployment" / "demo" / f"{name}.contract.toml"
    return DataContract.from_toml(path.read_text(encoding="utf-8"))


REAL = {
    "brain-mri/CS": (254, {"train": 10, "validation": 2}),
    "chest-xray/hannover": (243, {"train": 55, "validation": 16}),
}


@pytest.mark.parametrize("site", REAL)
def test_a_real_hospital_conforms_and_no_image_is_lost(
    shared_data: Path, tmp_path: Path, site: str
) -> None:
    images, patients = REAL[site]
    agreed = demo_contract(site.partition("/")[0])
    report = ingested(shared_data / site, tmp_path, agreed)
    cohort = open_cohort(tmp_path, agreed.digest)

    assert len(report.manifest.rows) == report.manifest.read == images
    assert {part: report.manifest.patients(part) for part in ("train", "validation")} == patients
    assert all(one.code == "class-support" for one in report.findings)
    assert np.isfinite(cohort.pixels).all()


@pytest.mark.parametrize("study", ["brain-mri", "chest-xray"])
def test_odd_files_are_all_accounted_for(shared_data: Path, tmp_path: Path, study: str) -> None:
    export = write_export(tmp_path / "export")
    odd = export / "dicom" / "odd"
    shutil.copytree(shared_data / "dicom", odd)
    rules = demo_contract(study).image
    own = contract().image
    image_rules = rules.model_copy(
        update={
            "sop_classes": rules.sop_classes + own.sop_classes,
            "modalities": rules.modalities + own.modalities,
            "rows": own.rows,
            "columns": own.columns,
        }
    )
    agreed = contract().model_copy(update={"image": image_rules})

    report = ingested(export, tmp_path / "store", agreed)

    assert len(report.manifest.rows) == 24
    assert report.manifest.read == 24 + len(list(odd.iterdir()))
