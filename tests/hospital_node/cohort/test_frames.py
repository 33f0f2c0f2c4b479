"""Frames of one file make a volume, or images of their own."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from hospital_node.cohort.ingest import ingest
from schemas.image_rules import EachFrame
from tests.hospital_node.cohort.exports import (
    ROOT_UID,
    contract,
    desk,
    image,
    label,
    write,
    write_labels,
)
from tests.hospital_node.cohort.stacks import (
    AXIAL,
    SIDE,
    SLICES,
    body,
    codes,
    groups,
    series,
    stored,
    volumes,
)


def enhanced(seed: int) -> Dataset:
    """Return all slices as frames of one file, with places in functional groups."""
    values = body(seed)
    dataset = image(100 * seed, patient=f"P{seed}", values=values[0])
    dataset.SeriesInstanceUID = UID(f"{ROOT_UID}9.{seed}")
    dataset.NumberOfFrames = SLICES
    dataset.PixelData = values.tobytes()
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [1.0, 1.0]
    orientation.ImageOrientationPatient = AXIAL
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in range(SLICES):
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, 3.0 * index]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def even(seed: int) -> Dataset:
    """Return all slices as frames of one file that says how far apart they are."""
    dataset = enhanced(seed)
    del dataset.SharedFunctionalGroupsSequence
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.ImageOrientationPatient = AXIAL
    dataset.ImagePositionPatient = [0.0, 0.0, 0.0]
    dataset.PixelSpacing = [1.0, 1.0]
    dataset.SpacingBetweenSlices = 3.0
    return dataset


@pytest.mark.parametrize("form", [enhanced, even])
def test_frames_of_one_file_make_the_volume_that_files_make(tmp_path: Path, form: Any) -> None:
    agreed = volumes()
    files = stored(tmp_path / "files", groups(series(0)), agreed)
    frames = stored(tmp_path / "frames", groups([form(0)]), agreed)
    assert codes(frames) == {}
    assert frames.manifest.pack == files.manifest.pack
    assert sorted(row.files for row in frames.manifest.rows) == [1, *[SLICES] * 8]


def test_each_frame_may_be_an_image_of_its_own(tmp_path: Path) -> None:
    rows = []
    for seed in range(8):
        dataset = enhanced(seed)
        dataset.PixelData = dataset.PixelData[: -2 * SIDE * SIDE] + bytes(2 * SIDE * SIDE)
        write(dataset, tmp_path / "dicom" / str(seed))
        rows.append(label(100 * seed, f"P{seed}"))
    write_labels(tmp_path / "labels.csv", rows)
    agreed = contract(frames=EachFrame())
    report = ingest(
        tmp_path / "dicom", tmp_path / "labels.csv", agreed, desk=desk(tmp_path / "store")
    )
    assert report.manifest.read == report.manifest.used == 8
    assert len(report.manifest.rows) == 8 * 3  # at most three images of a patient
    assert codes(report) == {}
