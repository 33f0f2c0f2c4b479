"""Small exports that tests make up: images, labels tables and contracts."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from hospital_node.cohort.ingest import Desk, IngestReport, ingest
from schemas.checks import Severity
from schemas.contract import (
    CohortRules,
    DataContract,
    DeidentificationRules,
    LabelClass,
    LabelRules,
    PartByColumn,
    PartByHash,
)
from schemas.image_rules import ImageRules, Range
from schemas.recipe import ImageNormalisation, Intensity, Normalisation, Preprocessing, StoredBits

KEY = bytes(range(32))
ROOT_UID = "1.2.826.0.1.3680043.8.498."


def recipe(
    *,
    size: tuple[int, int] = (8, 8),
    intensity: Intensity | None = None,
    normalisation: Normalisation | None = None,
) -> Preprocessing:
    return Preprocessing(
        intensity=intensity or StoredBits(),
        height=size[0],
        width=size[1],
        normalisation=normalisation or ImageNormalisation(floor=0.02),
    )


def contract(
    *,
    preprocessing: Preprocessing | None = None,
    parts: PartByHash | PartByColumn | None = None,
    min_patients: int = 2,
    burned_in: Severity = "quarantine",
    **image: Any,
) -> DataContract:
    rules: dict[str, Any] = {
        "modalities": ("DX",),
        "sop_classes": (str(DigitalXRayImageStorageForPresentation),),
        "rows": Range(least=8, most=64),
        "columns": Range(least=8, most=64),
        "bits_stored": Range(least=8, most=16),
        "photometric": ("MONOCHROME1", "MONOCHROME2"),
        **image,
    }
    return DataContract(
        id="small",
        version="1.0.0",
        status="draft",
        title="Small images",
        purpose="Tests",
        cohort=CohortRules(
            inclusion="All",
            min_patients=min_patients,
            max_images_per_patient=3,
            parts=parts or PartByHash(validation_fraction=0.25),
        ),
        image=ImageRules(**rules),
        preprocessing=preprocessing or recipe(),
        labels=LabelRules(
            column="label",
            classes=(
                LabelClass(value="0", meaning="No finding"),
                LabelClass(value="1", meaning="Finding"),
            ),
        ),
        deidentification=DeidentificationRules(burned_in=burned_in),
    )


def pixels(seed: int, *, shape: tuple[int, int] = (16, 16), bits: int = 12) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint16)


def image(
    number: int, *, patient: str, values: NDArray[Any] | None = None, **changes: object
) -> Dataset:
    """Return an image whose attributes are replaced, or removed where the change is None."""
    stored = pixels(number) if values is None else values
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = UID(f"{ROOT_UID}{number}")
    dataset.Modality = "DX"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientID = patient
    dataset.PatientName = "Made^Up"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = 8 if stored.itemsize == 1 else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.add_new(0x7FE00010, "OW" if stored.itemsize > 1 else "OB", stored.tobytes())
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID") or UID("1.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or UID("1.3")
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_labels(path: Path, rows: Iterable[Mapping[str, str]]) -> Path:
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, listed[0])
        writer.writeheader()
        writer.writerows(listed)
    return path


def label(number: int, patient: str, value: str = "0") -> dict[str, str]:
    return {"sop_instance_uid": f"{ROOT_UID}{number}", "patient_id": patient, "label": value}


def write_export(folder: Path, *, patients: int = 12, images: int = 2) -> Path:
    """Write `images` images of each patient to `folder/dicom`, and their labels beside it."""
    rows = []
    for number in range(patients * images):
        patient = f"P{number // images:03d}"
        write(image(number, patient=patient), folder / "dicom" / patient / f"{number}.dcm")
        rows.append(label(number, patient, str(number // images % 2)))
    write_labels(folder / "labels.csv", rows)
    return folder


def desk(store: Path, *, key: bytes = KEY) -> Desk:
    return Desk("northgate", key, store, lambda _done, _files: None)


def ingested(folder: Path, store: Path, agreed: DataContract | None = None) -> IngestReport:
    return ingest(folder / "dicom", folder / "labels.csv", agreed or contract(), desk=desk(store))
