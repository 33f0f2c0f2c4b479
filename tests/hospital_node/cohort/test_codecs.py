"""Every transfer syntax gives the same image, or its codec is named."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from hospital_node.cohort.codecs import decoded
from hospital_node.cohort.deidentification import technical
from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.reasons import NotUsed
from schemas.contract import DataContract
from schemas.image_rules import Range
from schemas.recipe import FixedNormalisation
from tests.hospital_node.cohort.exports import contract, image, pixels, recipe, write

SYNTAXES = [
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda one: one.keyword)
def test_an_image_has_one_digest_and_one_look_in_every_transfer_syntax(
    tmp_path: Path, syntax: UID, bits: int
) -> None:
    values = pixels(1, shape=(32, 32), bits=bits).astype(np.uint8 if bits == 8 else np.uint16)
    plain = read(write(image(1, patient="P", values=values), tmp_path / "plain"), contract())
    dataset = image(1, patient="P", values=values)
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    other = read(write(dataset, tmp_path / "other"), contract())

    assert isinstance(plain, Image)
    assert isinstance(other, Image)
    assert other.frames[0].digest == plain.frames[0].digest
    assert (other.frames[0].plane == plain.frames[0].plane).all()


def test_a_missing_codec_is_named_by_its_transfer_syntax(tmp_path: Path) -> None:
    dataset = image(1, patient="P")
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    outcome = read(write(dataset, tmp_path / "file"), contract())
    assert outcome == NotUsed("codec-missing", "MPEG-4 AVC/H.264 High Profile / Level 4.1")


def test_an_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    dataset = image(1, patient="P")
    path = write(dataset, tmp_path / "file")
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0", 1)
    path.write_bytes(content)
    assert read(path, contract()) == NotUsed("transfer-syntax")


EXTENDED = Path(pydicom.__file__).parent / "data" / "test_files" / "JPGExtended.dcm"
BY_LIBJPEG_TURBO = "d30242775a414c01d616447854ebe3f2b20259822894bcd6891f879bcdcbf313"
"""SHA-256 of its pixels, 16 bits little endian, as libjpeg-turbo 3 gives them."""


def extended(tmp_path: Path, changed: Callable[[bytes], bytes] = bytes, **changes: object) -> Path:
    """Return a file of JPEG of 12 bits, with its stream changed."""
    dataset = pydicom.dcmread(EXTENDED)
    dataset.Modality = "DX"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([changed(stream)])
    dataset.save_as(tmp_path / "file")
    return tmp_path / "file"


def of_12_bits() -> DataContract:
    return contract(
        burned_in="warn",
        sop_classes=(str(SecondaryCaptureImageStorage),),
        rows=Range(least=1, most=2048),
        columns=Range(least=1, most=2048),
    )


def test_jpeg_of_12_bits_is_read_as_libjpeg_turbo_reads_it(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(extended(tmp_path))
    header = technical(pydicom.dcmread(extended(tmp_path)))
    (values,) = decoded(
        dataset.PixelData,
        header,
        syntax=JPEGExtended12Bit,
        frames=1,
        representation="OB",
    )
    assert hashlib.sha256(values.astype("<u2").tobytes()).hexdigest() == BY_LIBJPEG_TURBO
    assert isinstance(read(extended(tmp_path), of_12_bits()), Image)


@pytest.mark.parametrize(
    "path_of",
    [
        lambda folder: extended(folder, lambda stream: stream[:-100]),
        lambda folder: extended(folder, lambda stream: stream[: len(stream) // 2]),
        lambda folder: extended(folder, lambda stream: stream[:300]),
        lambda folder: extended(folder, Rows=2048),
        lambda folder: extended(folder, Columns=128),
        lambda folder: extended(folder, BitsAllocated=32),
    ],
    ids=["without its end", "half", "its head", "fewer rows", "more columns", "in 32 bits"],
)
def test_jpeg_of_12_bits_that_is_not_whole_is_refused(
    tmp_path: Path, path_of: Callable[[Path], Path]
) -> None:
    assert read(path_of(tmp_path), of_12_bits()) == NotUsed("undecodable")


@pytest.mark.parametrize("samples", [1, 3])
def test_values_of_32_bits_without_sign_are_read_whole(tmp_path: Path, samples: int) -> None:
    shape = (16, 16) if samples == 1 else (16, 16, 3)
    values = np.random.default_rng(3).integers(0, 2**32, shape, dtype=np.uint32)
    dataset = image(1, patient="P", values=values[..., 0] if samples == 3 else values)
    dataset.BitsStored, dataset.HighBit = 32, 31
    photometric = "MONOCHROME2" if samples == 1 else "RGB"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = samples, photometric
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = values.tobytes()
    plain = FixedNormalisation(mean=0.0, deviation=1.0)
    rules = contract(
        bits_stored=Range(least=8, most=32),
        photometric=(photometric,),
        preprocessing=recipe(size=(16, 16), normalisation=plain),
    )
    found = read(write(dataset, tmp_path / "file"), rules)

    wide = values.astype(np.int64)
    grey = wide if samples == 1 else (wide @ np.array([299, 587, 114])) // 1000
    assert isinstance(found, Image)
    assert found.frames[0].plane.tolist() == (grey / 2.0**32).astype("<f4").tolist()
