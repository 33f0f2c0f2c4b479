"""Every file that comes with pydicom ends as used, quarantined or refused, under the right code."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from hospital_node.cohort.deidentification import technical
from hospital_node.cohort.ingest import ingest
from hospital_node.cohort.pixels import stored_frames
from hospital_node.cohort.reasons import REASONS, NotUsed
from hospital_node.cohort.workers import read_apart
from schemas.checks import Severity
from schemas.contract import DataContract
from schemas.image_rules import EachFrame, Range
from tests.hospital_node.cohort.exports import contract, desk, write_export

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
MODALITIES = "AS CR CT DX ECG ES GM MG MR NM OT PT RF RTDOSE RTPLAN RTSTRUCT SC SEG SM SR US XA XC"

REFUSED = {
    "attribute-malformed": "badVR.dcm",
    "bit-layout": "liver_1frame.dcm liver_expb_1frame.dcm",
    "dicomdir": "DICOMDIR DICOMDIR-bigEnd DICOMDIR-empty.dcm DICOMDIR-implicit DICOMDIR-nooffset "
    "DICOMDIR-nopatient DICOMDIR-reordered",
    "modality": "GDCMJ2K_TextGBR.dcm JPEGLSNearLossless_08.dcm JPEGLSNearLossless_16.dcm "
    "SC_jpeg_no_color_transform.dcm SC_jpeg_no_color_transform_2.dcm SC_rgb_jls_lossy_line.dcm "
    "SC_rgb_jls_lossy_sample.dcm SC_rgb_jpeg_app14_dcmd.dcm",
    "no-pixels": "reportsi.dcm reportsi_with_empty_number_tags.dcm rtplan.dcm test-SR.dcm "
    "waveform_ecg.dcm",
    "no-sop-class": "UN_sequence.dcm empty_charset_LEI.dcm meta_missing_tsyntax.dcm "
    "nested_priv_SQ.dcm no_meta_group_length.dcm priv_SQ.dcm",
    "not-dicom": "ExplVR_BigEndNoMeta.dcm ExplVR_LitEndNoMeta.dcm README.txt crayons.icc README "
    "no_meta.dcm rtplan.dump rtstruct.dcm rtstruct.dump test1.json test_PN.json zipMR.gz",
    "truncated": "MR_truncated.dcm rtplan_truncated.dcm",
    "undecodable": "JPEG2000-embedded-sequence-delimiter.dcm",
}
"""By file name; images below the DICOMDIR of TINY_ALPHA have no pixels; all else is used."""


def generous(burned_in: Severity = "warn") -> DataContract:
    classes = {uid for uid in UID_dictionary if uid.startswith("1.2.840.10008.5.1.4.1.1.")}
    return contract(
        burned_in=burned_in,
        sop_classes=tuple(sorted(classes)),
        modalities=tuple(MODALITIES.split()),
        rows=Range(least=1, most=4096),
        columns=Range(least=1, most=4096),
        bits_stored=Range(least=1, most=32),
        photometric=(
            *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"),
            *("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
        ),
        frames=EachFrame(),
    )


def expected(path: Path) -> str:
    if "TINY_ALPHA" in path.parts and path.name.startswith("IM"):
        return "no-pixels"
    codes = {name: code for code, names in REFUSED.items() for name in names.split()}
    return codes.get(path.name, "used")


def test_every_bundled_file_ends_with_the_right_code() -> None:
    found = {
        FILES[number]: one.code if isinstance(one, NotUsed) else "used"
        for number, one in read_apart(FILES, generous(), workers=2)
    }
    assert found == {path: expected(path) for path in FILES}
    assert len(FILES) > 150


def test_their_counts_add_up_in_a_cohort(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    odd = export / "dicom" / "odd"
    odd.mkdir()
    for number, path in enumerate(FILES):
        (odd / f"{number}").write_bytes(path.read_bytes())
    report = ingest(
        export / "dicom", export / "labels.csv", generous("quarantine"), desk=desk(tmp_path / "s")
    )
    counts = {one.code: one.files for one in report.manifest.not_used}
    assert report.manifest.read == len(FILES) + 24
    assert report.manifest.used == 24
    codes = Counter(map(expected, FILES))
    assert {code: counts[code] for code in codes if code != "used"} == {
        code: count for code, count in codes.items() if code != "used"
    }
    assert counts["secondary-capture"] > 10
    assert {one.outcome for one in report.manifest.not_used} == {"quarantined", "refused"}
    assert set(counts) <= set(REASONS)


def labelled_samples() -> list[Path]:
    return [path for path in FILES if expected(path) == "used" and path.suffix == ".dcm"]


@pytest.mark.parametrize("path", labelled_samples(), ids=lambda one: one.stem)
def test_frames_are_the_pixels_that_pydicom_shows(path: Path) -> None:
    """Colours may differ by one, as pydicom rounds YBR in floating point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        shown = pixel_array(dataset)
        header = technical(pydicom.dcmread(path))
        frames = int(header.get("NumberOfFrames", "1"))
        mine = np.stack([one.values for one in stored_frames(parsed(path), [header] * frames)])
    if header["PhotometricInterpretation"] == "PALETTE COLOR":
        shown = apply_color_lut(shown, dataset)
    difference = mine.reshape(shown.shape).astype(np.int64) - shown
    assert np.abs(difference).max() <= (1 if mine.ndim == 4 else 0)


def parsed(path: Path) -> Dataset:
    return pydicom.dcmread(path)


def test_a_file_cut_off_anywhere_is_never_taken_for_another_kind(tmp_path: Path) -> None:
    whole = (FOLDER / "MR_small.dcm").read_bytes()
    paths = []
    for length in [*range(0, len(whole), 97), *range(320, 420)]:
        path = tmp_path / f"{length}"
        path.write_bytes(whole[:length])
        paths.append(path)
    found = Counter(
        one.code if isinstance(one, NotUsed) else "used"
        for _, one in read_apart(paths, generous(), workers=2)
    )
    assert set(found) <= {"not-dicom", "no-pixels", "no-sop-class", "truncated", "unreadable"}
    assert found["truncated"] > 50
