"""One file: an image, or a coded reason."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.reasons import REASONS, NotUsed
from tests.hospital_node.cohort.exports import contract, image, pixels, write


def test_values_and_their_meaning_make_the_digest(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"RescaleSlope": "2", "RescaleIntercept": "-1024"},
        {"values": pixels(2)},
        {"values": pixels(1).reshape(8, 32)},
    ]
    found = [
        read(
            write(image(1, patient="P", **({"values": pixels(1)} | one)), tmp_path / "f"),
            contract(),
        )
        for one in changes
    ]
    assert len({one.frames[0].digest for one in found if isinstance(one, Image)}) == len(changes)


def test_names_and_dates_do_not_make_the_digest(tmp_path: Path) -> None:
    one = read(write(image(1, patient="P"), tmp_path / "one"), contract())
    other = read(
        write(image(2, patient="Q", values=pixels(1), StudyDate="20240229"), tmp_path / "other"),
        contract(),
    )
    assert isinstance(one, Image)
    assert isinstance(other, Image)
    assert one.frames[0].digest == other.frames[0].digest


def test_bits_above_the_stored_ones_are_not_seen(tmp_path: Path) -> None:
    clean = pixels(1)
    dirty = clean | np.uint16(0x8000)
    found = [
        read(write(image(1, patient="P", values=values), tmp_path / "f"), contract())
        for values in (clean, dirty)
    ]
    assert isinstance(found[0], Image)
    assert isinstance(found[1], Image)
    assert found[0].frames[0].digest == found[1].frames[0].digest


def test_signed_values_are_read_from_their_stored_bits(tmp_path: Path) -> None:
    values = pixels(1).astype(np.int16) - np.int16(2048)
    cut = (values & 0x0FFF).astype(np.int16)
    whole, short = (
        read(write(image(1, patient="P", values=one), tmp_path / "f"), contract())
        for one in (values, cut)
    )
    unsigned = read(write(image(1, patient="P", values=pixels(1)), tmp_path / "f"), contract())
    assert isinstance(whole, Image)
    assert isinstance(short, Image)
    assert isinstance(unsigned, Image)
    assert whole.frames[0].digest == short.frames[0].digest
    assert (whole.frames[0].plane == unsigned.frames[0].plane).all()


def test_a_number_that_is_no_number_is_refused(tmp_path: Path) -> None:
    dataset = image(1, patient="P", NumberOfFrames=11)
    path = write(dataset, tmp_path / "file")
    assert path.read_bytes().count(b"IS\x02\x0011") == 1
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x0011", b"IS\x02\x001A"))
    assert read(path, contract()) == NotUsed("attribute-malformed")


def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(write(image(1, patient="P"), tmp_path / "file"))
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "link", "broken"):
        assert read(tmp_path / name, contract()) == NotUsed("not-a-file")


def test_what_is_no_dicom_is_refused(tmp_path: Path) -> None:
    for number, content in enumerate([b"", b"Name,Born\nDoe,1950\n", bytes(4096)]):
        path = tmp_path / str(number)
        path.write_bytes(content)
        assert read(path, contract()) == NotUsed("not-dicom")


def test_a_deflated_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hospital_node.cohort.parsing.MAX_FILE_BYTES", 2**20)
    dataset = image(1, patient="P", PixelData=bytes(2**21))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = write(dataset, tmp_path / "file")
    assert path.stat().st_size < 2**14
    assert read(path, contract()) == NotUsed("too-large")


@pytest.mark.parametrize(
    ("modality", "expected"), [("DX", None), ("US", NotUsed("modality"))], ids=["fits", "does not"]
)
def test_a_large_file_is_judged_by_its_header_first_and_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: str, expected: NotUsed | None
) -> None:
    path = write(image(1, patient="P", Modality=modality), tmp_path / "file")
    small = read(path, contract())
    monkeypatch.setattr("hospital_node.cohort.parsing.HEADER_FIRST_BYTES", 0)
    large = read(path, contract())
    if expected is None:
        assert isinstance(small, Image)
        assert isinstance(large, Image)
        assert large.frames[0].digest == small.frames[0].digest
    else:
        assert large == small == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_raise(tmp_path: Path, data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from([ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless]))
    dataset = image(1, patient="P", values=pixels(1, shape=(32, 32)))
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    content = bytearray(write(dataset, tmp_path / "file").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(132, len(content))) :]
    (tmp_path / "file").write_bytes(content)

    outcome = read(tmp_path / "file", contract())

    assert isinstance(outcome, Image) or outcome.code in REASONS
