"""Real files of many makers end with the right code."""

import csv
from pathlib import Path

from pydicom._uid_dict import UID_dictionary

from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.reasons import NotUsed
from schemas.image_rules import Range
from tests.hospital_node.cohort.exports import contract

ODD = {
    "CT_small": "used",
    "MR_small": "used",
    "MR_small_RLE": "used",
    "MR_small_bigendian": "used",
    "MR_small_implicit": "used",
    "MR_small_jp2klossless": "used",
    "MR_small_jpeg_ls_lossless": "used",
    "MR_truncated": "truncated",
    "JPGExtended": "used",
    "JPEG-lossy": "used",
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
