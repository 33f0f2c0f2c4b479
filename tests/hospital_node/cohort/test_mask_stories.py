"""What is wrong with a mask has a code, and costs no more files than it must."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hospital_node.cohort.reasons import REASONS, NotUsed
from hospital_node.cohort.workers import read_apart
from tests.hospital_node.cohort.exports import (
    image,
    write,
)
from tests.hospital_node.cohort.outlined import (
    codes,
    drawn,
    masked,
    pictures,
    seg,
    segmentation,
    square,
    stored,
    write_images,
    write_picture,
)


def _unplaced(made: Dataset) -> Dataset:
    del made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    return made


def _linked(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("moved")))


def _halved(made: Dataset) -> Dataset:
    made.PixelData = made.PixelData.replace(b"\xff", b"\x7f")
    return made


STORIES: dict[str, tuple[Callable[[Path, list[dict[str, str]]], object], dict[str, int]]] = {
    "an image with the finding has no mask": (
        lambda folder, rows: (
            rows[1].update(mask=""),
            (folder / "masks" / "1.png").rename(folder / "elsewhere"),
        ),
        {"no-mask": 1},
    ),
    "a mask that is named is not there": (
        lambda folder, _rows: (folder / "masks" / "1.png").rename(folder / "elsewhere"),
        {"no-mask": 1},
    ),
    "a mask marks nothing": (
        lambda folder, _rows: write_picture(folder / "masks" / "1.png", drawn(0)),
        {"mask-empty": 2},
    ),
    "a mask contradicts the label": (
        lambda folder, rows: rows[0].update(
            mask=str(write_picture(folder / "masks" / "0.png", drawn(1)).relative_to(folder))
        ),
        {"mask-contradicts": 2},
    ),
    "a mask has another size": (
        lambda folder, _rows: write_picture(folder / "masks" / "1.png", square(20)),
        {"mask-size": 2},
    ),
    "a mask has a value without meaning": (
        lambda folder, _rows: write_picture(folder / "masks" / "1.png", drawn(1), full=3),
        {"mask-value": 1, "no-mask": 1},
    ),
    "a mask is in colour": (
        lambda folder, _rows: write_picture(
            folder / "masks" / "1.png", np.repeat(drawn(1)[..., None], 3, axis=2)
        ),
        {"mask-value": 1, "no-mask": 1},
    ),
    "a mask is cut off": (
        lambda folder, _rows: (folder / "masks" / "1.png").write_bytes(
            (folder / "masks" / "1.png").read_bytes()[:60]
        ),
        {"unreadable": 1, "no-mask": 1},
    ),
    "a mask is a link": (
        lambda folder, _rows: _linked(folder / "masks" / "1.png"),
        {"not-a-file": 1, "no-mask": 1},
    ),
    "a picture is nobody's mask": (
        lambda folder, _rows: write_picture(folder / "dicom" / "other.png", drawn(1)),
        {"mask-unused": 1},
    ),
    "two masks differ": (
        lambda folder, _rows: (
            write(seg(1), folder / "dicom" / "s"),
            write_picture(folder / "masks" / "1.png", square(first=1)),
        ),
        {"mask-repeated": 3},
    ),
    "two masks are the same": (
        lambda folder, _rows: write(seg(1), folder / "dicom" / "s"),
        {},
    ),
    "a segmentation is of an image that is not there": (
        lambda folder, _rows: write(
            segmentation([image(90, patient="P1")], square()[None]), folder / "dicom" / "s"
        ),
        {"mask-unused": 1},
    ),
    "a segmentation names another patient": (
        lambda folder, _rows: write(
            segmentation([image(1, patient="P3")], drawn(1)[None]), folder / "dicom" / "s"
        ),
        {"patient-differs": 3},
    ),
    "a segmentation's frame names no image": (
        lambda folder, _rows: write(_unplaced(seg(1)), folder / "dicom" / "s"),
        {"mask-unplaced": 1},
    ),
    "a segmentation is not sure": (
        lambda folder, _rows: write(_halved(seg(1, kind="FRACTIONAL")), folder / "dicom" / "s"),
        {"mask-value": 1},
    ),
    "a segmentation is cut off": (
        lambda folder, _rows: (
            write(seg(1), folder / "dicom" / "s"),
            (folder / "dicom" / "s").write_bytes((folder / "dicom" / "s").read_bytes()[:-20]),
        ),
        {"truncated": 1},
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_what_is_wrong_with_a_mask_has_a_code_and_every_file_is_counted(
    tmp_path: Path, story: str
) -> None:
    change, expected = STORIES[story]
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    change(tmp_path, rows)
    report, cohort = stored(tmp_path, rows)
    assert codes(report) == expected
    files = [path for path in tmp_path.rglob("*") if path.suffix in {".dcm", ".png"}]
    others = [tmp_path / "dicom" / "s"] if (tmp_path / "dicom" / "s").exists() else []
    assert report.manifest.read == len(files) + len(others)
    assert report.manifest.used == report.manifest.read - sum(expected.values())
    found = {one.code: one.severity for one in report.findings}
    assert all(found[code] == "warn" for code in expected)
    assert cohort.masks is not None


def test_mutated_masks_end_as_masks_or_with_a_code(tmp_path: Path) -> None:
    whole = [
        write_picture(tmp_path / "mask.png", drawn(1)).read_bytes(),
        write(seg(1), tmp_path / "mask.seg").read_bytes(),
        write(seg(3, kind="LABELMAP"), tmp_path / "map.seg").read_bytes(),
    ]
    random = np.random.default_rng(20)
    paths = []
    for number in range(90):
        content = bytearray(whole[number % 3])
        for place in random.integers(0, len(content), 1 + number % 4):
            content[place] ^= 1 << int(random.integers(8))
        if number % 5 == 0:
            del content[int(random.integers(9, len(content))) :]
        paths.append(tmp_path / f"{number}")
        paths[-1].write_bytes(content)
    outcomes = dict(read_apart(paths, masked(), workers=2))
    assert sorted(outcomes) == list(range(90))
    refused = [one.code for one in outcomes.values() if isinstance(one, NotUsed)]
    assert set(refused) <= REASONS.keys()
    assert 10 < len(refused) < 90
