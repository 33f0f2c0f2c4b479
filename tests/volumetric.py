"""A small study of volumes on disk: series of slices in which a ball is brighter than its room.

Every hospital exports DICOM Segmentations; the same cohort trains a classifier or a segmenter.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from deployment.material import pin
from tests.hospital_node.cohort.exports import ROOT_UID, image, write
from tests.hospital_node.cohort.outlined import segmentation
from tests.study import (
    CONTRACT,
    PLAN,
    PRIVATE,
    SITES,
    Hospitals,
    Study,
    approved,
)

PATIENTS, SLICES, SIDE = 18, 8, 16
CONTRACT_OF_VOLUMES = CONTRACT | {
    "id": "balls",
    "image": CONTRACT["image"]
    | {"frames": {"kind": "volume", "plane": "axial", "slices": {"least": 4, "most": 32}}},
    "labels": CONTRACT["labels"] | {"mask": {}},
    "preprocessing": CONTRACT["preprocessing"] | {"depth": SLICES, "height": SIDE, "width": SIDE},
}
CLASSIFIER = {"kind": "convolutional", "channels": [4, 8], "groups": 2}
SEGMENTER = {"kind": "unet", "channels": [4, 8], "residual_units": 0, "groups": 2}
PLAN_OF_VOLUMES = PLAN | {
    "name": "balls",
    "title": "Whether there is a ball",
    "rounds": 1,
    "evaluation": {"rounds": [1], "bins": 10},
}
PRIVATE_PLAN = PRIVATE | {"evaluation": {"rounds": [1], "bins": 2, "noise_multiplier": 3.0}}


def ball(random: np.random.Generator) -> NDArray[np.bool_]:
    """Return where a ball lies, [slices, rows, columns]."""
    depth, row, column = random.integers(3, 6), *random.integers(5, SIDE - 5, 2)
    z, y, x = np.ogrid[:SLICES, :SIDE, :SIDE]
    found: NDArray[np.bool_] = (z - depth) ** 2 + (y - row) ** 2 + (x - column) ** 2 < 10
    return found


def made(folder: Path, *, private: bool = False, **changes: Any) -> Study:
    """Make a study, ready to run; `changes` replace fields of the plan."""
    study = unpinned(folder, private=private, **changes)
    pin(study.plan)
    for site in SITES:
        approved(study, site, private=private)
    return study


def unpinned(folder: Path, *, private: bool = False, **changes: Any) -> Study:
    """Make the homes, and a plan that nobody has looked at."""
    return BALLS.study(folder, PLAN_OF_VOLUMES | (PRIVATE_PLAN if private else {}) | changes)


def write_hospital(folder: Path, number: int) -> None:
    """Write one hospital's series and their Segmentations."""
    random = np.random.default_rng([5, number])
    rows = []
    for each in range(PATIENTS):
        name, is_shown = 100 * number + each, each % 2 == 1
        mask = ball(random) if is_shown else np.zeros((SLICES, SIDE, SIDE), dtype=np.bool_)
        values = (random.normal(900, 150, mask.shape) + 1500 * mask).clip(0, 4095)
        slices = []
        for index, plane in enumerate(values.astype(np.uint16)):
            one = image(100 * name + index, patient=f"{folder.name}-{each}", values=plane)
            one.SeriesInstanceUID = UID(f"{ROOT_UID}9.{name}")
            one.StudyInstanceUID = UID(f"{ROOT_UID}6.{name}")
            one.FrameOfReferenceUID = UID(f"{ROOT_UID}5.{name}")
            one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            one.ImagePositionPatient = [0.0, 0.0, 2.0 * index]
            one.PixelSpacing = [1.0, 1.0]
            one.SliceThickness = 2.0
            write(one, folder / "dicom" / f"{each}-{index}.dcm")
            slices.append(one)
        if is_shown:
            write(segmentation(slices, mask, number=name), folder / "dicom" / f"{each}.seg")
        rows.append(
            {
                "series_instance_uid": str(slices[0].SeriesInstanceUID),
                "patient_id": slices[0].PatientID,
                "label": str(int(is_shown)),
            }
        )
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


BALLS = Hospitals(CONTRACT_OF_VOLUMES, write_hospital)
