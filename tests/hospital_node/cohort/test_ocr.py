"""Text in pixels sends an image to a person, where the contract asks for the search."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from hospital_node.cohort import ocr
from hospital_node.cohort.dicom import Image
from hospital_node.cohort.workers import read_apart
from schemas.checks import Severity
from schemas.contract import DataContract, DeidentificationRules
from schemas.errors import InputRefused
from schemas.image_rules import Range
from tests.hospital_node.cohort.exports import contract, image, ingested, write, write_export

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="the program tesseract is not installed"
)


def pixels(text: str) -> NDArray[np.uint16]:
    noise = np.random.default_rng(1).normal(60, 12, (256, 384)).clip(0, 255)
    picture = Picture.fromarray(noise.astype(np.uint8))
    ImageDraw.Draw(picture).text((12, 12), text, fill=255, font=ImageFont.load_default(20))
    return np.asarray(picture).astype(np.uint16) * 16


def searching(burned_in: Severity = "quarantine") -> DataContract:
    size = Range(least=8, most=1024)
    rules = DeidentificationRules(burned_in=burned_in, ocr="tesseract")
    return contract(rows=size, columns=size).model_copy(update={"deidentification": rules})


@needs_tesseract
@pytest.mark.parametrize(
    ("text", "risks"), [("", ()), ("DOE JOHN 1951", ("text-found",))], ids=["none", "a name"]
)
def test_text_in_the_pixels_is_a_risk_with_a_picture(
    tmp_path: Path, text: str, risks: tuple[str, ...]
) -> None:
    path = write(image(1, patient="P", values=pixels(text)), tmp_path / "file")
    ((_, found),) = read_apart([path], searching(), workers=1)
    assert isinstance(found, Image)
    assert found.risks == risks
    assert len(found.pages) == len(risks)


@needs_tesseract
def test_a_contract_that_only_warns_searches_too_and_keeps_no_picture(tmp_path: Path) -> None:
    path = write(image(1, patient="P", values=pixels("DOE JOHN")), tmp_path / "file")
    ((_, found),) = read_apart([path], searching("warn"), workers=1)
    assert isinstance(found, Image)
    assert (found.risks, found.pages) == (("text-found",), ())


@needs_tesseract
def test_what_is_no_picture_is_an_error_and_no_absence_of_text() -> None:
    with pytest.raises(OSError, match="could not be searched"):
        ocr.has_text(b"no picture")


def test_a_site_without_the_program_refuses_before_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = write_export(tmp_path / "export")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputRefused, match="tesseract is not installed"):
        ingested(export, tmp_path / "store", searching())
    assert not list((tmp_path / "store").glob("*"))
