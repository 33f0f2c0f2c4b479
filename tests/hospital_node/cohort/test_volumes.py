"""Slices become volumes in the patient's own directions, or are refused whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from hospital_node.cohort.ingest import IngestReport
from hospital_node.cohort.store import open_cohort
from schemas.contract import DataContract
from schemas.errors import SourceEmpty
from schemas.image_rules import Distances, Range, Volume
from tests.hospital_node.cohort.stacks import (
    AXES,
    SIDE,
    SLICES,
    body,
    codes,
    groups,
    series,
    stored,
    volumes,
)


def test_the_distance_between_slices_is_the_contracts(tmp_path: Path) -> None:
    agreed = volumes()
    for most, is_used in ((3.5, True), (2.5, False)):
        frames = Volume(
            plane="axial",
            slices=Range(least=4, most=32),
            spacing_mm=Distances(least=1.0, most=most),
        )
        rules = agreed.model_copy(
            update={"image": agreed.image.model_copy(update={"frames": frames})}
        )
        groups = [series(number) for number in range(12)]
        if is_used:
            assert codes(stored(tmp_path / str(most), groups, rules)) == {}
        else:
            with pytest.raises(SourceEmpty, match=f"{12 * SLICES} slice-spacing"):
                stored(tmp_path / str(most), groups, rules)


def first_volume(folder: Path, report: IngestReport, agreed: DataContract) -> NDArray[np.float32]:
    cohort = open_cohort(folder / "store", agreed.digest)
    assert cohort.manifest == report.manifest
    return np.asarray(cohort.pixels)


@pytest.mark.parametrize("plane", AXES)
def test_a_series_in_any_order_of_files_is_one_volume(tmp_path: Path, plane: str) -> None:
    agreed = volumes(plane)
    shuffled = series(0, plane=plane)
    np.random.default_rng(1).shuffle(shuffled)
    report = stored(tmp_path, groups(shuffled, plane), agreed)
    assert [row.files for row in report.manifest.rows] == [SLICES] * 9
    assert report.manifest.read == report.manifest.used == 9 * SLICES
    found = first_volume(tmp_path, report, agreed)
    assert found.shape == (9, SLICES, SIDE, SIDE)
    expected = (body(0) / 4096).astype(np.float32)
    assert any((one == expected).all() for one in found)


def reversed_rows(one: Dataset) -> None:
    """Say the same anatomy with rows from back to front."""
    values = np.frombuffer(one.PixelData, np.uint16).reshape(SIDE, SIDE)[::-1]
    one.PixelData = values.tobytes()
    one.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    x, y, z = one.ImagePositionPatient
    one.ImagePositionPatient = [x, y + SIDE - 1, z]


def transposed(one: Dataset) -> None:
    values = np.frombuffer(one.PixelData, np.uint16).reshape(SIDE, SIDE).T
    one.PixelData = values.tobytes()
    one.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]


def mirrored(one: Dataset) -> None:
    values = np.frombuffer(one.PixelData, np.uint16).reshape(SIDE, SIDE)[:, ::-1]
    one.PixelData = values.tobytes()
    one.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    x, y, z = one.ImagePositionPatient
    one.ImagePositionPatient = [x + SIDE - 1, y, z]


@pytest.mark.parametrize("turn", [reversed_rows, transposed, mirrored])
def test_the_same_anatomy_is_the_same_volume_however_it_is_stored(
    tmp_path: Path, turn: Any
) -> None:
    agreed = volumes()
    straight = stored(tmp_path / "straight", groups(series(0)), agreed)
    changed = series(0)
    for one in changed:
        turn(one)
    turned = stored(tmp_path / "turned", groups(changed), agreed)
    assert codes(turned) == {}
    assert turned.manifest.pack == straight.manifest.pack
    assert turned.manifest.rows == straight.manifest.rows


def without(index: int) -> Any:
    def change(found: list[Dataset]) -> None:
        del found[index]

    return change


def moved(index: int, *place: float) -> Any:
    def change(found: list[Dataset]) -> None:
        found[index].ImagePositionPatient = list(place)

    return change


def each(keyword: str, value: Any) -> Any:
    def change(found: list[Dataset]) -> None:
        for one in found:
            setattr(one, keyword, value)

    return change


def one_of(keyword: str, value: Any) -> Any:
    def change(found: list[Dataset]) -> None:
        setattr(found[2], keyword, value)

    return change


def leaning(found: list[Dataset]) -> None:
    for index, one in enumerate(found):
        one.ImagePositionPatient = [0.0, 2.0 * index, 3.0 * index]


BROKEN = {
    "a slice is missing": (without(3), {"slice-gap": 7}),
    "few slices": (lambda found: found.__delitem__(slice(3, None)), {"slice-count": 3}),
    "two in one place": (moved(3, 0.0, 0.0, 6.0), {"slice-repeated": 8}),
    "no position": (one_of("ImagePositionPatient", None), {"no-place": 1, "slice-gap": 7}),
    "no spacing": (each("PixelSpacing", None), {"no-spacing": 8}),
    "another spacing": (one_of("PixelSpacing", [2.0, 2.0]), {"slices-differ": 8}),
    "another plane": (each("ImageOrientationPatient", AXES["coronal"]), {"orientation": 8}),
    "between planes": (
        each("ImageOrientationPatient", [1, 0, 0, 0, 0.7071, 0.7071]),
        {"orientation": 8},
    ),
    "no directions": (each("ImageOrientationPatient", [0] * 6), {"no-place": 8}),
    "a tilted gantry": (leaning, {"slices-differ": 8}),
    "no series": (each("SeriesInstanceUID", None), {"no-place": 8}),
    "a number that is none": (each("PixelSpacing", ["1.0", "1.0"]), {}),
}


@pytest.mark.parametrize(("change", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_volume_is_whole_or_none_of_its_files_are_used(
    tmp_path: Path, change: Any, expected: dict[str, int]
) -> None:
    changed = series(0)
    change(changed)
    for one in changed:
        for element in list(one):
            if element.VM == 0 and element.keyword in {
                "ImagePositionPatient",
                "PixelSpacing",
                "SeriesInstanceUID",
            }:
                del one[element.tag]
    report = stored(tmp_path, groups(changed), volumes())
    assert codes(report) == expected
    assert report.manifest.read == 8 * SLICES + len(changed)


def test_the_same_slice_twice_is_used_once(tmp_path: Path) -> None:
    report = stored(tmp_path, groups([*series(0), series(0)[2]]), volumes())
    assert codes(report) == {"duplicate": 1}
    assert len(report.manifest.rows) == 9


def test_spacing_decides_what_a_voxel_measures(tmp_path: Path) -> None:
    """Slices 3 mm apart on a grid of 6, 2 and 2 mm: each new voxel is the mean of 2 x 2 x 2."""
    agreed = volumes(depth=2, height=8, width=8, spacing_mm=(6.0, 2.0, 2.0))
    report = stored(tmp_path, groups(series(0)), agreed)
    found = first_volume(tmp_path, report, agreed)
    middle = (body(0) / 4096)[2:6]
    expected = middle.reshape(2, 2, 8, 2, 8, 2).mean(axis=(1, 3, 5))
    assert min(np.abs(one - expected).max() for one in found) < 1e-6


def test_beyond_the_volume_lies_nothing(tmp_path: Path) -> None:
    agreed = volumes(depth=12, height=20, width=20, spacing_mm=(3.0, 1.0, 1.0))
    found = first_volume(tmp_path, stored(tmp_path, groups(series(0)), agreed), agreed)
    assert (found[:, :2] == 0).all()
    assert (found[:, -2:] == 0).all()
    assert (found[:, :, :2] == 0).all()
    assert (found[:, :, :, -2:] == 0).all()
    expected = (body(0) / 4096).astype(np.float32)
    assert any((one[2:-2, 2:-2, 2:-2] == expected).all() for one in found)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "PixelSpacing"])
def test_a_number_that_no_scanner_writes_is_refused_and_not_kept(
    tmp_path: Path, keyword: str
) -> None:
    found = series(0)
    found[2][keyword].value = [*found[2][keyword].value[:-1], 3141592.0]
    report = stored(tmp_path, groups(found), volumes())
    code = {"ImagePositionPatient": "no-place", "PixelSpacing": "no-spacing"}[keyword]
    assert codes(report)[code] == 1
    kept = b"".join(one.read_bytes() for one in tmp_path.glob("store*/*") if one.is_file())
    assert len(kept) > 1000
    assert b"3141592" not in kept
