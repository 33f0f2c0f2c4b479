"""A header against the contract: a coded reason, or signs that a person should look."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    SecondaryCaptureImageStorage,
)

from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.header_checks import refuse_unknown_attributes
from hospital_node.cohort.reasons import REASONS, NotUsed
from schemas.errors import InputRefused
from schemas.image_rules import Distances, Range
from tests.hospital_node.cohort.exports import contract, image, pixels, write

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
