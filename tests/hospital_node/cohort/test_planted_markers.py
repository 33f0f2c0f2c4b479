"""Nothing that names a person reaches what an ingest writes or says."""

import logging
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from hospital_node.cohort.ingest import IngestReport
from schemas.errors import NotConforming
from tests.hospital_node.cohort.exports import (
    contract,
    image,
    ingested,
    label,
    write,
    write_labels,
)

ROOT = Path(__file__).resolve().parents[3]


def not_used(report: IngestReport) -> dict[str, int]:
    return {one.code: one.files for one in report.manifest.not_used}


def stored_bytes(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*.*")}


PLANTED = "ZZ7PLANTED"


def planted(number: int, patient: str) -> Dataset:
    """Return an image with a marker wherever a header has room for one."""
    dataset = image(number, patient=patient)
    dataset.PatientName = f"{PLANTED}^NAME"
    dataset.PatientBirthDate = "19510217"
    dataset.StudyDate = "19990307"
    dataset.AccessionNumber = f"{PLANTED}ACC"
    dataset.InstitutionName = f"{PLANTED} HOSPITAL"
    dataset.ImageComments = f"{PLANTED} comment"
    dataset.StudyInstanceUID = "1.2.3.19510217.4"
    dataset.ManufacturerModelName = f"{PLANTED} MODEL"
    dataset.BodyPartExamined = PLANTED
    inner = Dataset()
    inner.PatientName = f"{PLANTED}^NESTED"
    dataset.ReferencedImageSequence = [inner]
    block = dataset.private_block(0x0019, f"{PLANTED} CREATOR", create=True)
    block.add_new(0x01, "LO", f"{PLANTED} private")
    dataset.add_new(0x00091001, "UN", PLANTED.encode())
    dataset.file_meta.PrivateInformationCreatorUID = UID("1.2.19510217")
    dataset.file_meta.PrivateInformation = PLANTED.encode()
    dataset.file_meta.SourceApplicationEntityTitle = PLANTED
    dataset.preamble = PLANTED.encode().ljust(128, b"\0")
    return dataset


UNFIT: list[dict[str, object]] = [
    {"Modality": PLANTED},
    {"PhotometricInterpretation": PLANTED},
    {"ImageType": [PLANTED, PLANTED]},
    {"PixelData": PLANTED.encode()},
    {"PatientID": f"{PLANTED}OTHER"},
]


def test_no_planted_marker_reaches_store_findings_errors_or_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    export = tmp_path / "export"
    folder = export / "dicom" / PLANTED
    rows = []
    for number in range(24):
        patient = f"{PLANTED}{number // 2}"
        write(planted(number, patient), folder / f"{PLANTED}-{number}.dcm")
        rows.append(label(number, patient, str(number // 2 % 2)) | {"note": PLANTED})
    for number, changes in enumerate(UNFIT):
        dataset = planted(100 + number, f"{PLANTED}0")
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        path = write(dataset, folder / f"{PLANTED}-{100 + number}")
        odd = b"\\".join([PLANTED.encode()] * 2)
        path.write_bytes(path.read_bytes().replace(odd, odd.lower()))  # not of its form
        rows.append(label(100 + number, f"{PLANTED}0"))
    write_labels(export / "labels.csv", rows)

    report = ingested(export, tmp_path / "store")
    with pytest.raises(NotConforming) as refusal:
        ingested(export, tmp_path / "store", contract(min_patients=100))

    said = [refusal.value.message, refusal.value.next_step, caplog.text, *capfd.readouterr()]
    said += [repr(report), str(report.findings), *stored_bytes(tmp_path / "store")]
    everything = b"\n".join([*stored_bytes(tmp_path / "store").values(), *map(str.encode, said)])
    assert len(report.manifest.rows) == 24
    assert report.manifest.read == 29
    for marker in (PLANTED, PLANTED.lower(), "19510217", "19990307", "1.2.826.0.1.3680043.8.498."):
        assert marker.encode() not in everything
