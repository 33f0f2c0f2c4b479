"""One file: an image, or a coded reason."""

import csv
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.header_checks import refuse_unknown_attributes
from hospital_node.cohort.reasons import REASONS, NotUsed
from schemas.errors import InputRefused
from schemas.image_rules import Distances, Range
from schemas.recipe import Window
from tests.hospital_node.cohort.exports import contract, image, pixels, recipe, write

RGB: dict[str, object] = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another kind of object": ({"SOPClassUID": CTImageStorage}, {}, "sop-class"),
    "no kind of object": ({"SOPClassUID": None}, {}, "no-sop-class"),
    "another modality": ({"Modality": "US"}, {}, "modality"),
    "no modality": ({"Modality": None}, {}, "modality"),
    "many frames": ({"NumberOfFrames": 2}, {}, "multi-frame"),
    "colour": (RGB, {}, "colour"),
    "a palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, {}, "colour"),
    "no image": (
        {"Rows": None, "Columns": None, "PhotometricInterpretation": None},
        {},
        "no-pixels",
    ),
    "no photometric interpretation": ({"PhotometricInterpretation": None}, {}, "photometric"),
    "one that the contract does not allow": (
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"photometric": ("MONOCHROME2",)},
        "photometric",
    ),
    "too small": ({}, {"rows": Range(least=17, most=64)}, "rows"),
    "too wide": ({}, {"columns": Range(least=8, most=15)}, "columns"),
    "no height": ({"Rows": None}, {}, "rows"),
    "a bomb": (
        {"Rows": 60000, "Columns": 60000},
        {"rows": Range(least=8, most=65535), "columns": Range(least=8, most=65535)},
        "too-many-pixels",
    ),
    "too few bits": ({}, {"bits_stored": Range(least=14, most=16)}, "bits-stored"),
    "more bits than are there": ({"BitsStored": 16, "BitsAllocated": 8}, {}, "bit-layout"),
    "bits at an odd place": ({"HighBit": 15}, {}, "bit-layout"),
    "a required attribute is absent": (
        {},
        {"required_attributes": ("ViewPosition",)},
        "attribute-missing",
    ),
    "a required attribute is empty": (
        {"ViewPosition": ""},
        {"required_attributes": ("ViewPosition",)},
        "attribute-missing",
    ),
    "a forbidden attribute": (
        {"PatientAddress": "Somewhere"},
        {"forbidden_attributes": ("PatientAddress",)},
        "attribute-forbidden",
    ),
    "a forbidden sequence": (
        {"OtherPatientIDsSequence": [Dataset()]},
        {"forbidden_attributes": ("OtherPatientIDsSequence",)},
        "attribute-forbidden",
    ),
    "another view": ({"ViewPosition": "LL"}, {"views": ("AP", "PA")}, "view"),
    "no view": ({}, {"views": ("AP", "PA")}, "view"),
    "another side": ({"ImageLaterality": "R"}, {"lateralities": ("L",)}, "laterality"),
    "the other side in the older attribute": (
        {"Laterality": "R"},
        {"lateralities": ("L",)},
        "laterality",
    ),
    "another body part": ({"BodyPartExamined": "HAND"}, {"body_parts": ("CHEST",)}, "body-part"),
    "coarse pixels": (
        {"PixelSpacing": [0.1, 0.4]},
        {"spacing_mm": Distances(least=0.1, most=0.3)},
        "spacing",
    ),
    "pixels of unknown size": ({}, {"spacing_mm": Distances(least=0.1, most=0.3)}, "no-spacing"),
    "no pixels": ({"PixelData": None}, {}, "no-pixels"),
    "empty pixels": ({"PixelData": b""}, {}, "no-pixels"),
    "half of the pixels": ({"PixelData": bytes(range(256))}, {}, "undecodable"),
    "one grey": ({"PixelData": bytes(512)}, {}, "blank"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "rules", "code"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_does_not_fit_has_a_coded_reason(
    tmp_path: Path, changes: dict[str, Any], rules: dict[str, Any], code: str
) -> None:
    path = write(image(1, patient="P", **changes), tmp_path / "file")
    assert read(path, contract(**rules)) == NotUsed(code)
    assert code in REASONS


FIT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a forbidden attribute is empty": (
        {"PatientAddress": ""},
        {"forbidden_attributes": ("PatientAddress",)},
    ),
    "a view that is allowed": ({"ViewPosition": "PA"}, {"views": ("AP", "PA")}),
    "a side that is allowed": (
        {"ImageLaterality": "L", "Laterality": "R"},
        {"lateralities": ("L",)},
    ),
    "a body part that is allowed": ({"BodyPartExamined": "CHEST"}, {"body_parts": ("CHEST",)}),
    "fine pixels": (
        {"ImagerPixelSpacing": [0.1, 0.3]},
        {"spacing_mm": Distances(least=0.1, most=0.3)},
    ),
    "any view where none is asked": ({"ViewPosition": "not a code, Mr"}, {}),
}


@pytest.mark.parametrize(("changes", "rules"), FIT.values(), ids=FIT)
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_file_that_fits_is_used(
    tmp_path: Path, changes: dict[str, Any], rules: dict[str, Any]
) -> None:
    path = write(image(1, patient="P", **changes), tmp_path / "file")
    assert isinstance(read(path, contract(**rules)), Image)


@pytest.mark.parametrize("field", ["required_attributes", "forbidden_attributes"])
def test_an_attribute_that_does_not_exist_is_refused_before_the_work(field: str) -> None:
    rules: dict[str, Any] = {field: ("PatientSex", "PatientSx")}
    with pytest.raises(InputRefused) as refusal:
        refuse_unknown_attributes(contract(**rules))
    assert refusal.value.message == (
        "contract refused: PatientSx in required_attributes or forbidden_attributes, only "
        "keywords of PS3.6 are allowed"
    )


RISKY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "burned-in-declared": ({"BurnedInAnnotation": "YES"}, {}),
    "secondary-capture": (
        {"SOPClassUID": SecondaryCaptureImageStorage},
        {"sop_classes": (str(SecondaryCaptureImageStorage),)},
    ),
    "secondary-image": ({"ImageType": ["DERIVED", "SECONDARY"]}, {}),
    "ultrasound-without-regions": ({"Modality": "US"}, {"modalities": ("US",)}),
}


@pytest.mark.parametrize("code", RISKY)
def test_an_image_that_may_identify_comes_with_a_picture_for_a_person(
    tmp_path: Path, code: str
) -> None:
    changes, rules = RISKY[code]
    path = write(image(1, patient="P", **changes), tmp_path / "file")
    result = read(path, contract(**rules))
    assert isinstance(result, Image)
    assert result.risks == (code,)
    (page,) = result.pages
    with Picture.open(BytesIO(page)) as picture:
        shown = np.asarray(picture)
        assert picture.info == {}
    values = pixels(1).astype(int)
    assert shown.tolist() == ((values - values.min()) * 255 // np.ptp(values)).tolist()
    assert code in REASONS


def test_an_overlay_plane_is_a_risk_and_ultrasound_regions_take_one_away(tmp_path: Path) -> None:
    dataset = image(1, patient="P", Modality="US")
    dataset.add_new(0x60020010, "US", 16)
    dataset.SequenceOfUltrasoundRegions = [Dataset()]
    found = read(write(dataset, tmp_path / "file"), contract(modalities=("US",)))
    assert isinstance(found, Image)
    assert found.risks == ("overlay",)


def test_a_contract_that_only_warns_uses_the_image_and_counts_the_risk(tmp_path: Path) -> None:
    path = write(image(1, patient="P", BurnedInAnnotation="YES"), tmp_path / "file")
    result = read(path, contract(burned_in="warn"))
    assert isinstance(result, Image)
    assert result.risks == ("burned-in-declared",)
    assert result.pages == ()


def test_a_required_attribute_that_is_there_is_enough(tmp_path: Path) -> None:
    path = write(image(1, patient="P", ViewPosition="PA"), tmp_path / "file")
    assert isinstance(read(path, contract(required_attributes=("ViewPosition",))), Image)


def test_a_modality_table_is_refused_only_where_it_would_be_needed(tmp_path: Path) -> None:
    dataset = image(1, patient="P")
    dataset.ModalityLUTSequence = [Dataset()]
    path = write(dataset, tmp_path / "file")
    window = contract(preprocessing=recipe(intensity=Window(low=0, high=4096)))
    assert isinstance(read(path, contract()), Image)
    assert read(path, window) == NotUsed("modality-table")


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


def test_a_missing_codec_is_named_by_its_transfer_syntax(tmp_path: Path) -> None:
    dataset = image(1, patient="P")
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    outcome = read(write(dataset, tmp_path / "file"), contract())
    assert outcome == NotUsed("codec-missing", "JPEG Extended (Process 2 and 4)")


def test_an_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    dataset = image(1, patient="P")
    path = write(dataset, tmp_path / "file")
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0", 1)
    path.write_bytes(content)
    assert read(path, contract()) == NotUsed("transfer-syntax")


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


ODD = {
    "CT_small": "used",
    "MR_small": "used",
    "MR_small_RLE": "used",
    "MR_small_bigendian": "used",
    "MR_small_implicit": "used",
    "MR_small_jp2klossless": "used",
    "MR_small_jpeg_ls_lossless": "used",
    "MR_truncated": "truncated",
    "JPGExtended": "codec-missing",
    "JPEG-lossy": "codec-missing",
    "JPEG2000": "used",
    "SC_rgb_jpeg_dcmtk": "colour",
    "SC_rgb_rle_2frame": "multi-frame",
    "SC_ybr_full_422_uncompressed": "colour",
    "SC_rgb_small_odd": "colour",
    "image_dfl": "used",
    "examples_overlay": "used",
    "examples_palette": "colour",
    "examples_ybr_color": "multi-frame",
    "no_meta": "not-dicom",
    "meta_missing_tsyntax": "no-sop-class",
    "badVR": "attribute-malformed",
    "nested_priv_SQ": "no-sop-class",
    "UN_sequence": "no-sop-class",
    "rtdose": "multi-frame",
    "rtplan": "no-pixels",
    "rtstruct": "not-dicom",
    "test-SR": "no-pixels",
    "waveform_ecg": "no-pixels",
    "liver_1frame": "bit-layout",
    "dx_image": "used",
    "seg_image_ct_binary": "multi-frame",
    "sm_image": "multi-frame",
    "epi_pe_ap-00001": "used",
    "epi_pe_ap-00002": "used",
    "axial_epi_fmri_interleaved_i_to_s-00001": "used",
    "axial_epi_fmri_interleaved_i_to_s-00002": "used",
    "axial_epi_fmri_interleaved_i_to_s-00003": "used",
    "axial_epi_fmri_interleaved_i_to_s-00004": "used",
    "axial_epi_fmri_interleaved_i_to_s-00005": "used",
}
"""Real files under a contract that allows every kind of object and only warns of burned-in text."""


def test_real_odd_files_end_with_the_right_code(shared_data: Path) -> None:
    with (shared_data / "dicom" / "manifest.csv").open(encoding="utf-8") as file:
        classes = {uid for uid in UID_dictionary if uid.startswith("1.2.840.10008.5.1.4.1.1.")}
        modalities = {row["modality"] for row in csv.DictReader(file)} - {""}
    generous = contract(
        burned_in="warn",
        sop_classes=tuple(sorted(classes)),
        modalities=tuple(sorted(modalities)),
        rows=Range(least=1, most=4096),
        columns=Range(least=1, most=4096),
        bits_stored=Range(least=1, most=32),
    )
    outcomes = {
        path.stem.partition("__")[2]: read(path, generous)
        for path in (shared_data / "dicom").glob("*.dcm")
    }
    codes = {
        name: one.code if isinstance(one, NotUsed) else "used" for name, one in outcomes.items()
    }
    small = {
        one.frames[0].digest
        for name, one in outcomes.items()
        if name.startswith("MR_small") and isinstance(one, Image)
    }

    assert codes == ODD
    assert len(small) == 1
