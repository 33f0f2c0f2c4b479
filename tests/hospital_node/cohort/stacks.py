"""Series of made-up slices, and contracts that make volumes of them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from hospital_node.cohort.ingest import IngestReport, ingest
from schemas.contract import DataContract
from schemas.image_rules import Range, Volume
from schemas.recipe import FixedNormalisation, Preprocessing, StoredBits
from tests.hospital_node.cohort.exports import (
    ROOT_UID,
    contract,
    desk,
    image,
    write,
    write_labels,
)

SLICES, SIDE = 8, 16

AXIAL = [1, 0, 0, 0, 1, 0]
AXES = {"axial": AXIAL, "coronal": [1, 0, 0, 0, 0, -1], "sagittal": [0, 1, 0, 0, 0, -1]}
ALONG = {"axial": (0, 0, 1), "coronal": (0, 1, 0), "sagittal": (1, 0, 0)}


def volumes(plane: Any = "axial", **recipe: Any) -> DataContract:
    fields = {"depth": SLICES, "height": SIDE, "width": SIDE} | recipe
    return contract(
        frames=Volume(plane=plane, slices=Range(least=4, most=32)),
        preprocessing=Preprocessing(
            intensity=StoredBits(),
            normalisation=FixedNormalisation(mean=0.0, deviation=1.0),
            **fields,
        ),
    )


def body(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 4096, (SLICES, SIDE, SIDE), dtype=np.uint16)


def series(
    seed: int, *, plane: str = "axial", values: NDArray[np.uint16] | None = None
) -> list[Dataset]:
    found = []
    for index, one in enumerate(body(seed) if values is None else values):
        dataset = image(100 * seed + index, patient=f"P{seed}", values=one)
        dataset.SeriesInstanceUID = UID(f"{ROOT_UID}9.{seed}")
        dataset.ImageOrientationPatient = AXES[plane]
        dataset.ImagePositionPatient = [3.0 * index * one for one in ALONG[plane]]
        dataset.PixelSpacing = [1.0, 1.0]
        found.append(dataset)
    return found


def stored(folder: Path, groups: list[list[Dataset]], agreed: DataContract) -> IngestReport:
    number = 0
    rows = []
    for seed, group in enumerate(groups):
        rows.append(
            {"series_instance_uid": f"{ROOT_UID}9.{seed}", "patient_id": f"P{seed}", "label": "0"}
        )
        for dataset in group:
            write(dataset, folder / "dicom" / f"{number:04d}")
            number += 1
    write_labels(folder / "labels.csv", rows)
    return ingest(folder / "dicom", folder / "labels.csv", agreed, desk=desk(folder / "store"))


def codes(report: IngestReport) -> dict[str, int]:
    return {one.code: one.files for one in report.manifest.not_used}


def groups(changed: list[Dataset], plane: str = "axial") -> list[list[Dataset]]:
    return [changed, *(series(seed, plane=plane) for seed in range(1, 9))]
