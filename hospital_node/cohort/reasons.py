"""Why a file is not used: a closed table of codes, each with what was found and what helps.

* A text here is all that is ever said about a file; no value, name or path of it is.
* `pointer` is the place in the contract that decides (RFC 6901); empty: no contract could allow it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["REASONS", "Reason"]


@dataclass(frozen=True, slots=True)
class Reason:
    """What a code means."""

    outcome: Literal["quarantined", "refused"]
    found: str
    remedy: str
    pointer: str = ""
    expected: str = ""
    """Where no contract decides: what would have been accepted."""


def _refused(found: str, remedy: str, *, pointer: str = "", expected: str = "") -> Reason:
    return Reason("refused", found, remedy, pointer=pointer, expected=expected)


def _quarantined(found: str, remedy: str) -> Reason:
    return Reason("quarantined", found, remedy, pointer="/deidentification/burned_in")


_EXPORT = "export it again from the archive"
_SELECT = "leave it out of the source, or mend the contract with the study lead"
_REVIEW = "let a person look at the pixels; text in them cannot be taken back"

REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        # The file.
        "not-a-file": _refused("a link, pipe or device", _SELECT, expected="a regular file"),
        "too-large": _refused("a file over the size limit", _SELECT, expected="at most 512 MiB"),
        "not-dicom": _refused(
            "no DICOM file header", _SELECT, expected="a DICOM file (PS3.10 section 7.1)"
        ),
        "unreadable": _refused(
            "a file that cannot be read", _EXPORT, expected="a whole DICOM file"
        ),
        "attribute-malformed": _refused(
            "a technical attribute of a wrong form",
            _EXPORT,
            expected="a value of the standard's form",
        ),
        "attribute-missing": _refused(
            "a required attribute is absent or empty", _EXPORT, pointer="/image/required_attributes"
        ),
        # What it shows.
        "sop-class": _refused("another kind of object", _SELECT, pointer="/image/sop_classes"),
        "modality": _refused("another modality", _SELECT, pointer="/image/modalities"),
        "colour": _refused("a colour image", _SELECT, pointer="/image/photometric"),
        "photometric": _refused(
            "another photometric interpretation", _SELECT, pointer="/image/photometric"
        ),
        "multi-frame": _refused("more than one frame", _SELECT, expected="a single frame"),
        "rows": _refused("a height out of range", _SELECT, pointer="/image/rows"),
        "columns": _refused("a width out of range", _SELECT, pointer="/image/columns"),
        "too-many-pixels": _refused(
            "an image over the size limit", _SELECT, expected="at most 67108864 pixels"
        ),
        "bits-stored": _refused("a bit depth out of range", _SELECT, pointer="/image/bits_stored"),
        "bit-layout": _refused(
            "bits that are not laid out as the standard says",
            _EXPORT,
            expected="PS3.5 section 8.1.1",
        ),
        "modality-table": _refused(
            "a modality look-up table", _SELECT, pointer="/preprocessing/intensity"
        ),
        # Whether it may still identify.
        "burned-in-declared": _quarantined("BurnedInAnnotation is not NO", _REVIEW),
        "secondary-capture": _quarantined("a secondary capture", _REVIEW),
        "secondary-image": _quarantined("ImageType says SECONDARY", _REVIEW),
        "overlay": _quarantined("an overlay plane", _REVIEW),
        # The pixels.
        "no-pixels": _refused("no pixel data", _SELECT, expected="integer pixel data"),
        "transfer-syntax": _refused(
            "no transfer syntax, or an unknown one", _EXPORT, expected="a transfer syntax of PS3.5"
        ),
        "codec-missing": _refused(
            "no installed codec", "install a codec for it, or export it uncompressed"
        ),
        "undecodable": _refused(
            "pixel data that cannot be decoded", _EXPORT, expected="whole pixels"
        ),
        "blank": _refused("one value in every pixel", _SELECT, expected="an image"),
        # The patient and the label.
        "no-label": _refused(
            "no row in the labels table", "add its row to the labels table", pointer="/labels"
        ),
        "patient-differs": _refused(
            "PatientID differs from patient_id in the labels table",
            "find out whose image it is before it is used",
            expected="the same patient in both",
        ),
        "instance-repeated": _refused(
            "different images with one SOP instance UID", _EXPORT, expected="one image for each UID"
        ),
        "duplicate": _refused(
            "the same pixels as another image of this patient",
            "none is needed",
            expected="each once",
        ),
        "duplicate-contradicts": _refused(
            "the same pixels under two patients or two labels",
            "find out whose image it is before it is used",
            expected="one patient and one label",
        ),
        "over-patient-limit": _refused(
            "more images of one patient than are used",
            "none is needed",
            pointer="/cohort/max_images_per_patient",
        ),
    }
)
