"""A file's own look-up tables give what pydicom gives, and a wrong one is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.reasons import NotUsed
from schemas.contract import DataContract
from schemas.recipe import FixedNormalisation, Intensity, OwnWindow, Window
from tests.hospital_node.cohort.exports import contract, image, pixels, recipe, write

SIZE = (16, 16)


def agreed(intensity: Intensity) -> DataContract:
    plain = FixedNormalisation(mean=0.0, deviation=1.0)
    return contract(preprocessing=recipe(size=SIZE, intensity=intensity, normalisation=plain))


def table(count: int, first: int, bits: int, *, seed: int = 5, form: str = "US") -> Dataset:
    entries = np.random.default_rng(seed).integers(0, 2**bits, count, dtype=np.uint16)
    entries[0], entries[-1] = 0, 2**bits - 1
    item = Dataset()
    item.add_new(0x00283002, "SS" if first < 0 else "US", [count % 2**16, first, bits])
    packed = entries.tobytes() if form == "OW" else entries.tolist()
    item.add_new(0x00283006, form, packed)
    item.LUTExplanation = "ZZ7PLANTED"
    return item


FILES: dict[str, tuple[dict[str, Any], int]] = {
    "a modality table of words": ({"ModalityLUTSequence": [table(4096, 0, 16)]}, 16),
    "one in bytes of another kind": ({"ModalityLUTSequence": [table(4096, 0, 16, form="OW")]}, 16),
    "one that begins late and ends early": ({"ModalityLUTSequence": [table(1000, 700, 16)]}, 16),
    "a table of what is shown": ({"VOILUTSequence": [table(4096, 0, 12)]}, 12),
    "one of 10 bits in bytes": ({"VOILUTSequence": [table(4096, 0, 10, form="OW")]}, 10),
    "one as long as can be": (
        {"VOILUTSequence": [table(65536, 0, 16, form="OW")]},
        16,
    ),
    "one for units below zero": (
        {
            "VOILUTSequence": [table(3000, -900, 12)],
            "RescaleSlope": "1",
            "RescaleIntercept": "-1024",
        },
        12,
    ),
    "both, and a window that is not taken": (
        {
            "ModalityLUTSequence": [table(4096, 0, 16, seed=6)],
            "VOILUTSequence": [table(65536, 0, 12, form="OW"), table(10, 0, 12)],
            "WindowCenter": "100",
            "WindowWidth": "10",
        },
        12,
    ),
}


@pytest.mark.parametrize(("changes", "bits"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
@pytest.mark.filterwarnings("ignore:Applying a VOI LUT on a float input")
def test_a_table_gives_what_pydicom_gives(
    tmp_path: Path, changes: dict[str, Any], bits: int, syntax: UID | None
) -> None:
    dataset = image(1, patient="P", **changes)
    units = apply_modality_lut(pixels(1), dataset)
    is_shown = "VOILUTSequence" in dataset
    wanted = apply_voi_lut(units, dataset) if is_shown else units
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    intensity = OwnWindow() if is_shown else Window(low=0, high=2**bits - 1)
    found = read(write(dataset, tmp_path / "file"), agreed(intensity))

    assert isinstance(found, Image)
    assert found.frames[0].plane.tolist() == (wanted / (2.0**bits - 1)).astype("<f4").tolist()


def test_a_table_of_bytes_is_one_of_words(tmp_path: Path) -> None:
    words = table(256, 1000, 8)
    packed = table(256, 1000, 8)
    packed.add_new(0x00283006, "OW", np.array(words.LUTData, dtype=np.uint8).tobytes())
    planes = [
        read(
            write(image(1, patient="P", VOILUTSequence=[one]), tmp_path / "file"),
            agreed(OwnWindow()),
        )
        for one in (words, packed)
    ]
    first, second = (one.frames[0] for one in planes if isinstance(one, Image))
    assert first.plane.tolist() == second.plane.tolist()
    assert first.digest == second.digest


def test_a_table_read_from_big_endian_is_the_same(tmp_path: Path) -> None:
    values = pixels(1)
    little = image(1, patient="P", values=values, VOILUTSequence=[table(4096, 0, 12)])
    big = image(1, patient="P", values=values, VOILUTSequence=[table(4096, 0, 12)])
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    big.PixelData = values.astype(">u2").tobytes()
    found = [read(write(one, tmp_path / "file"), agreed(OwnWindow())) for one in (little, big)]
    assert len({one.frames[0].digest for one in found if isinstance(one, Image)}) == 1


def test_tables_make_the_digest_where_they_count_and_nowhere_else(tmp_path: Path) -> None:
    def digests(intensity: Intensity) -> set[str]:
        files = [
            image(1, patient="P"),
            image(1, patient="P", ModalityLUTSequence=[table(4096, 0, 16)]),
            image(1, patient="P", ModalityLUTSequence=[table(4096, 0, 16, seed=6)]),
        ]
        found = [read(write(one, tmp_path / "file"), agreed(intensity)) for one in files]
        return {one.frames[0].digest for one in found if isinstance(one, Image)}

    assert len(digests(Window(low=0, high=4095))) == 3
    assert len(digests(recipe().intensity)) == 1


def spoiled(**changes: Any) -> Dataset:
    item = table(4096, 0, 12)
    for keyword, value in changes.items():
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    "item",
    [
        Dataset(),
        spoiled(LUTDescriptor=None),
        spoiled(LUTData=None),
        spoiled(LUTData=[]),
        spoiled(LUTDescriptor=[4096, 0]),
        spoiled(LUTDescriptor=[4095, 0, 12]),
        spoiled(LUTDescriptor=[0, 0, 12]),
        spoiled(LUTDescriptor=[4096, 0, 7]),
        spoiled(LUTDescriptor=[4096, 0, 17]),
        spoiled(LUTDescriptor=[4096, 0, 11]),
    ],
)
@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_table_of_a_wrong_form_is_refused_where_it_would_be_needed(
    tmp_path: Path, item: Dataset, keyword: str
) -> None:
    dataset = image(1, patient="P", WindowCenter="100", WindowWidth="10")
    setattr(dataset, keyword, [item])
    path = write(dataset, tmp_path / "file")
    assert read(path, agreed(OwnWindow())) == NotUsed("modality-table")
    assert isinstance(read(path, contract()), Image)


def test_an_empty_sequence_is_no_table(tmp_path: Path) -> None:
    dataset = image(1, patient="P", WindowCenter="100", WindowWidth="10", VOILUTSequence=[])
    assert isinstance(read(write(dataset, tmp_path / "file"), agreed(OwnWindow())), Image)
