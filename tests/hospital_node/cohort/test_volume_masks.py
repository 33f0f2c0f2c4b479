"""A volume's mask is turned and stacked with its slices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from schemas.contract import DataContract
from schemas.image_rules import Range, Volume
from schemas.recipe import FixedNormalisation, Preprocessing, StoredBits
from tests.hospital_node.cohort.exports import (
    image,
    write,
)
from tests.hospital_node.cohort.outlined import (
    codes,
    masked,
    segmentation,
    stored,
)

VIEWS = {
    "axial": [1, 0, 0, 0, 1, 0],
    "coronal": [0, 0, 1, 1, 0, 0],
    "sagittal": [0, -1, 0, 0, 0, 1],
}
ALONG = {"axial": (0, 0, -2.0), "coronal": (0, 2.0, 0), "sagittal": (2.0, 0, 0)}


def slices(seed: int, plane: str, values: NDArray[np.uint16]) -> list[Dataset]:
    found = []
    for index, each in enumerate(values):
        one = image(100 * seed + index, patient=f"P{seed}", values=each)
        one.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.9.{seed}"
        one.ImageOrientationPatient = VIEWS[plane]
        one.ImagePositionPatient = [index * along for along in ALONG[plane]]
        one.PixelSpacing = [1.0, 1.0]
        one.SliceThickness = 2.0
        one.Modality = "DX"
        found.append(one)
    return found


def volumes(plane: Any) -> DataContract:
    made = Preprocessing(
        intensity=StoredBits(),
        depth=6,
        height=16,
        width=16,
        normalisation=FixedNormalisation(mean=0.0, deviation=1.0),
    )
    frames = Volume(plane=plane, slices=Range(least=4, most=12))
    return masked(frames=frames, preprocessing=made)


def write_volumes(
    folder: Path, plane: str, change: Callable[[int, Dataset], None]
) -> list[dict[str, str]]:
    rows = []
    for seed in range(4):
        body = np.zeros((6, 16, 16), dtype=np.bool_)
        if seed % 2:
            body[1 + seed % 3 : 4, 2:7, 5 + seed : 9 + seed] = True
        values = body * np.uint16(4000) + np.uint16(seed)
        sources = slices(seed, plane, values)
        if seed % 2:
            made = segmentation(sources, body, number=seed)
            change(seed, made)
            write(made, folder / "dicom" / f"{seed}.seg")
        for index, one in enumerate(sources):
            write(one, folder / "dicom" / f"{seed}.{index}")
        rows.append(
            {
                "series_instance_uid": f"1.2.826.0.1.3680043.8.498.9.{seed}",
                "patient_id": f"P{seed}",
                "label": str(seed % 2),
            }
        )
    return rows


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_volume_s_mask_is_turned_and_stacked_with_its_slices(tmp_path: Path, plane: str) -> None:
    rows = write_volumes(tmp_path, plane, lambda _seed, _made: None)
    report, cohort = stored(tmp_path, rows, volumes(plane))
    assert codes(report) == {}
    assert report.manifest.read == 4 * 6 + 2
    assert cohort.masks is not None
    assert cohort.masks.shape == cohort.pixels.shape
    assert ((cohort.pixels > 0.5) == cohort.masks.astype(bool)).all()
    assert cohort.masks.any()


def test_a_mask_of_another_plane_costs_its_volume(tmp_path: Path) -> None:
    def shift(seed: int, made: Dataset) -> None:
        for item in made.PerFrameFunctionalGroupsSequence if seed == 1 else ():
            place = item.PlanePositionSequence[0].ImagePositionPatient
            item.PlanePositionSequence[0].ImagePositionPatient = [*place[:2], place[2] + 2.0]

    rows = write_volumes(tmp_path, "axial", shift)
    report, cohort = stored(tmp_path, rows, volumes("axial"))
    assert codes(report) == {"mask-place": 7}
    assert len(cohort.pixels) == 3
