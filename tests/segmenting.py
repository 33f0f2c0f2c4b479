"""A small segmentation study on disk: squares that are brighter than what lies around them.

One hospital exports PNG masks, one DICOM Segmentations, and one both kinds for different images.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployment.material import pin
from tests.hospital_node.cohort.exports import image, write
from tests.hospital_node.cohort.outlined import segmentation, write_picture
from tests.study import (
    CONTRACT,
    PLAN,
    PRIVATE,
    SITES,
    Hospitals,
    Study,
    approved,
)

PATIENTS, SIDE = 24, 32
UNET = {"kind": "unet", "channels": [4, 8], "residual_units": 0, "groups": 2}
CONTRACT_WITH_MASKS = CONTRACT | {
    "id": "squares",
    "labels": CONTRACT["labels"] | {"mask": {}},
    "preprocessing": CONTRACT["preprocessing"] | {"height": SIDE // 2, "width": SIDE // 2},
}
PLAN_WITH_MASKS = PLAN | {
    "name": "squares",
    "title": "Where the square is",
    "rounds": 3,
    "network": UNET,
    "local": {
        "kind": "epochs",
        "epochs": 12,
        "batch_images": 6,
        "optimizer": {"kind": "adamw", "learning_rate": 0.02},
    },
    "evaluation": {"rounds": [1, 3], "bins": 20},
    "gate": {"site_min_class_weight": 0.5, "floor": 0.05, "margin": 1.0, "site_margin": 1.0},
    "release": {"min_dice": 0.5},
}
PRIVATE_WITH_MASKS = PRIVATE | {
    "rounds": 1,
    "evaluation": {"rounds": [1], "bins": 2, "noise_multiplier": 3.0},
    "gate": {"site_min_class_weight": 0.5, "floor": 0.0, "margin": 1.0, "site_margin": 1.0},
    "release": {},
}


def square(random: np.random.Generator) -> NDArray[np.bool_]:
    row, column = random.integers(4, SIDE - 16, 2)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[row : row + 12, column : column + 12] = True
    return mask


def made(folder: Path, *, private: bool = False, **changes: Any) -> Study:
    """Make a study, ready to run; `changes` replace fields of the plan."""
    plan = PLAN_WITH_MASKS | (PRIVATE_WITH_MASKS if private else {}) | changes
    study = SQUARES.study(folder, plan)
    pin(study.plan)
    for site in SITES:
        approved(study, site, private=private)
    return study


def write_hospital(folder: Path, number: int) -> None:
    """Write one hospital; the first has PNGs, the second Segmentations, the third both."""
    random = np.random.default_rng([7, number])
    rows = []
    for each in range(PATIENTS):
        uid, is_shown = 1000 * number + each, each % 4 != 0
        mask = square(random) if is_shown else np.zeros((SIDE, SIDE), dtype=np.bool_)
        values = (random.normal(900, 150, mask.shape) + 1500 * mask).clip(0, 4095)
        one = image(uid, patient=f"{folder.name}-{each}", values=values.astype(np.uint16))
        row = {
            "sop_instance_uid": str(one.SOPInstanceUID),
            "patient_id": one.PatientID,
            "label": str(int(is_shown)),
            "mask": "",
        }
        if is_shown and (number == 0 or (number == 2 and each % 2)):
            row["mask"] = f"masks/{each}.png"
            write_picture(folder / row["mask"], mask)
        elif is_shown:
            write(segmentation([one], mask[None], number=uid), folder / "dicom" / f"{each}.seg")
        write(one, folder / "dicom" / f"{each}.dcm")
        rows.append(row if number != 1 else {name: row[name] for name in row if name != "mask"})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


SQUARES = Hospitals(CONTRACT_WITH_MASKS, write_hospital)
