"""Why a file is not used: a closed table of codes, each with what was found and what helps.

* A text here is all that is ever said about a file; no value, name or path of it is.
* `pointer` is the place in the contract that decides (RFC 6901); empty: no contract could allow it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["REASONS", "NotUsed", "Reason", "Unfit"]


@dataclass(frozen=True, slots=True)
class Reason:
    """What a code means."""

    outcome: Literal["quarantined", "refused"]
    found: str
    remedy: str
    pointer: str = ""
    expected: str = ""
    """Where no contract decides: what would have been accepted."""


@dataclass(frozen=True, slots=True)
class NotUsed:
    """Why a file gave no image: a code of `REASONS`, with a name from the standard or nothing."""

    code: str
    detail: str = ""


class Unfit(Exception):
    """A file gives no image, for this reason."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.reason = NotUsed(code, detail)


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
        "too-large": _refused("a file over the size limit", _SELECT, expected="at most 384 MiB"),
        "not-dicom": _refused(
            "no DICOM file header", _SELECT, expected="a DICOM file (PS3.10 section 7.1)"
        ),
        "unreadable": _refused(
            "a file that cannot be read", _EXPORT, expected="a whole DICOM file"
        ),
        "truncated": _refused("a file that ends early", _EXPORT, expected="a whole DICOM file"),
        "dicomdir": _refused("a directory of DICOM files", "none is needed", expected="an image"),
        "no-sop-class": _refused(
            "a file that does not say what it is", _EXPORT, expected="a SOP class UID (PS3.4)"
        ),
        # What reading it cost.
        "over-time": _refused(
            "a file that took too long to read", _EXPORT, expected="a few seconds of computing"
        ),
        "over-memory": _refused(
            "a file that asked for too much memory", _EXPORT, expected="at most 1 GiB"
        ),
        "codec-crash": _refused(
            "a file that broke the program that decodes it", _EXPORT, expected="whole pixels"
        ),
        "attribute-malformed": _refused(
            "a technical attribute of a wrong form",
            _EXPORT,
            expected="a value of the standard's form",
        ),
        "attribute-missing": _refused(
            "a required attribute is absent or empty", _EXPORT, pointer="/image/required_attributes"
        ),
        "attribute-forbidden": _refused(
            "an attribute that must not be there",
            "export it without this attribute",
            pointer="/image/forbidden_attributes",
        ),
        # What it shows.
        "sop-class": _refused("another kind of object", _SELECT, pointer="/image/sop_classes"),
        "modality": _refused("another modality", _SELECT, pointer="/image/modalities"),
        "colour": _refused("a colour image", _SELECT, pointer="/image/photometric"),
        "photometric": _refused(
            "another photometric interpretation", _SELECT, pointer="/image/photometric"
        ),
        "view": _refused("another view, or none", _SELECT, pointer="/image/views"),
        "laterality": _refused("another side, or none", _SELECT, pointer="/image/lateralities"),
        "body-part": _refused("another body part, or none", _SELECT, pointer="/image/body_parts"),
        "multi-frame": _refused("more than one frame", _SELECT, pointer="/image/frames/kind"),
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
            "a look-up table of a wrong form", _EXPORT, expected="PS3.3 section C.11.1.1.1"
        ),
        "palette": _refused(
            "a colour table of a wrong form", _EXPORT, expected="PS3.3 section C.7.6.3.1.5"
        ),
        "no-window": _refused(
            "no window or look-up table of its own", _SELECT, pointer="/preprocessing/intensity"
        ),
        # Where it lies.
        "no-spacing": _refused(
            "no distance between pixels", _SELECT, pointer="/preprocessing/spacing_mm"
        ),
        "spacing": _refused(
            "a distance between pixels out of range", _SELECT, pointer="/image/spacing_mm"
        ),
        "slice-spacing": _refused(
            "a distance between slices out of range", _SELECT, pointer="/image/frames/spacing_mm"
        ),
        "no-place": _refused(
            "a slice without position, orientation or series", _SELECT, pointer="/image/frames"
        ),
        "orientation": _refused("another plane", _SELECT, pointer="/image/frames"),
        "slice-count": _refused(
            "a series with too few or too many slices", _SELECT, pointer="/image/frames"
        ),
        "slice-gap": _refused(
            "a series with a slice missing", _EXPORT, expected="slices at equal distances"
        ),
        "slice-repeated": _refused(
            "a series with two slices in one place", _SELECT, expected="one slice in each place"
        ),
        "slices-differ": _refused(
            "a series whose slices differ in size, direction or patient",
            _EXPORT,
            expected="slices of one stack",
        ),
        # What marks its finding.
        "no-mask": _refused(
            "an image without a mask that can be used",
            "add its mask",
            pointer="/labels/mask/needed",
        ),
        "mask-empty": _refused(
            "a mask that marks nothing, of an image with the finding",
            "mend the mask or the label",
            pointer="/labels/mask/empty",
        ),
        "mask-contradicts": _refused(
            "a mask that marks something, of an image without the finding",
            "mend the mask or the label",
            expected="an empty mask, or none",
        ),
        "mask-size": _refused(
            "a mask of another size than its image",
            "export it at the size of the image",
            expected="as many rows and columns as the image",
        ),
        "mask-place": _refused(
            "a mask that lies in another plane than its slice",
            "find out which image it was drawn on",
            expected="the slice's own plane",
        ),
        "mask-repeated": _refused(
            "an image with different masks", "keep one of them", expected="one mask for each image"
        ),
        "mask-lost": _refused(
            "a mask whose finding is too small for the recipe's size",
            "raise the recipe's size with the study lead, or expect such findings to be missed",
            pointer="/preprocessing/height",
        ),
        "mask-unused": _refused(
            "a mask of no image that can be used",
            "see why its image was not used, or leave it out of the source",
            expected="an image of the cohort",
        ),
        "mask-unplaced": _refused(
            "a mask that does not say which image it is of",
            "export it with the source image of each frame",
            expected="one source image for each frame (PS3.3 section C.7.6.16.2.6)",
        ),
        "mask-segment": _refused(
            "a segmentation without the segment", _SELECT, pointer="/labels/mask/segment"
        ),
        "mask-value": _refused(
            "a mask with values that have no meaning", _SELECT, pointer="/labels/mask/values"
        ),
        # Whether it may still identify.
        "burned-in-declared": _quarantined("BurnedInAnnotation is not NO", _REVIEW),
        "secondary-capture": _quarantined("a secondary capture", _REVIEW),
        "secondary-image": _quarantined("ImageType says SECONDARY", _REVIEW),
        "overlay": _quarantined("an overlay plane", _REVIEW),
        "ultrasound-without-regions": _quarantined(
            "an ultrasound picture that does not say where in it the image is", _REVIEW
        ),
        "text-found": _quarantined("text that a program read in the pixels", _REVIEW),
        "review-refused": _refused(
            "an image that a person refused to use",
            "none is needed",
            expected="no text in the pixels",
        ),
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
        "withdrawn": _refused(
            "an image of a patient who withdrew",
            "leave the patient out of the source",
            expected="patients who did not withdraw",
        ),
        "over-patient-limit": _refused(
            "more images of one patient than are used",
            "none is needed",
            pointer="/cohort/max_images_per_patient",
        ),
    }
)
