"""What may be known of a file, and under which name a patient appears.

* Deny by default: a header is read through `ALLOWED`, and a value that has not the form of its
  attribute is refused. Names, dates, free text, private groups and nested sequences are never
  decoded.
* A patient appears as a keyed HMAC-SHA-256 (RFC 2104), cut to 128 bits; the key never leaves the
  site.
* A patient's part is a function of the patient and the site's key alone, under a key of its own,
  so it is the same in every cohort and plan, and a pseudonym says nothing about it.
* A sign of text burned into the pixels sends an image to a person.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias, cast

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from schemas.manifest import Part, Pseudonym

__all__ = [
    "ALLOWED",
    "OVERLAY_TAGS",
    "PLACE",
    "REGION_TAG",
    "SEGMENT",
    "VIEW",
    "WINDOW",
    "Malformed",
    "Technical",
    "keyed_name",
    "part_of",
    "pseudonym",
    "raw_element",
    "risks_of",
    "technical",
]

Technical: TypeAlias = Mapping[str, str]
"""Attributes by keyword, each of its form; several values are joined by a backslash."""


class Malformed(Exception):
    """An allowed attribute has a value of another form."""


_CODES = rb"[A-Z0-9_ ]{0,16}(?:\\[A-Z0-9_ ]{0,16}){0,15}"
_WHOLE = rb"[+-]?\d{1,12}"
_DECIMAL = rb"[+-]?(?:\d{1,12}(?:\.\d{0,14})?|\.\d{1,14})(?:[eE][+-]?\d{1,2})?"
_DECIMALS = _DECIMAL + rb" *(?:\\ *" + _DECIMAL + rb" *){0,2047}"
_UID = rb"[0-9.]{1,64}"

ALLOWED: Mapping[str, bytes | None] = MappingProxyType(
    {
        "ImageType": _CODES,
        "SOPClassUID": _UID,
        "Modality": _CODES,
        "SamplesPerPixel": None,
        "PlanarConfiguration": None,
        "PhotometricInterpretation": _CODES,
        "NumberOfFrames": _WHOLE,
        "Rows": None,
        "Columns": None,
        "BitsAllocated": None,
        "BitsStored": None,
        "HighBit": None,
        "PixelRepresentation": None,
        "BurnedInAnnotation": _CODES,
        "RescaleIntercept": _DECIMAL,
        "RescaleSlope": _DECIMAL,
    }
)
"""The form of each attribute that is read (PS3.5 section 6.2); None: an unsigned short."""

PLACE: Mapping[str, bytes | None] = MappingProxyType(
    {
        "ImageOrientationPatient": _DECIMALS,
        "ImagePositionPatient": _DECIMALS,
        "ImagerPixelSpacing": _DECIMALS,
        "PixelSpacing": _DECIMALS,
        "SpacingBetweenSlices": _DECIMAL,
        "GridFrameOffsetVector": _DECIMALS,
    }
)
"""Read as well where the contract asks how large a pixel is, or where a slice lies."""

WINDOW: Mapping[str, bytes | None] = MappingProxyType(
    {"WindowCenter": _DECIMALS, "WindowWidth": _DECIMALS, "VOILUTFunction": _CODES}
)
"""Read as well where the contract takes the file's own window."""

VIEW: Mapping[str, bytes | None] = MappingProxyType(
    {
        "BodyPartExamined": _CODES,
        "ImageLaterality": _CODES,
        "Laterality": _CODES,
        "ViewPosition": _CODES,
    }
)
"""Read as well where the contract says from where, on which side and of what an image must be."""

SEGMENT: Mapping[str, bytes | None] = MappingProxyType(
    {"SegmentationType": _CODES, "MaximumFractionalValue": None, "ReferencedSegmentNumber": None}
)
"""Read as well of a DICOM Segmentation, where the contract has masks."""

_FORMS = {**ALLOWED, **PLACE, **WINDOW, **VIEW, **SEGMENT}
_PATTERNS = {
    keyword: None if form is None else re.compile(form) for keyword, form in _FORMS.items()
}
_TAGS = {keyword: tag_for_keyword(keyword) for keyword in _FORMS}

OVERLAY_TAGS = tuple(
    (group << 16) | element for group in range(0x6000, 0x6020, 2) for element in (0x0010, 0x3000)
)
"""Overlay Rows and Overlay Data of the sixteen planes (PS3.3 section C.9.2)."""

REGION_TAG = 0x00186011
"""Sequence of Ultrasound Regions: where in an ultrasound picture the image is (C.8.5.5)."""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage, and the root of its multi-frame kinds (PS3.4 section B.5)."""


def raw_element(dataset: Dataset, tag: int) -> RawDataElement | None:
    """Return an element as its bytes, before anything decodes them; None for a sequence."""
    element = cast("object", dataset.get_item(tag))
    return element if isinstance(element, RawDataElement) else None


def technical(dataset: Dataset, keywords: Iterable[str] = ALLOWED) -> Technical:
    """Return the allowed attributes that are present and not empty.

    Raises:
        Malformed: one of them has another form.
    """
    return MappingProxyType(dict(_present(dataset, keywords)))


def _present(dataset: Dataset, keywords: Iterable[str]) -> Iterator[tuple[str, str]]:
    for keyword in keywords:
        tag = _TAGS[keyword]
        if tag is None or tag not in dataset:
            continue
        element = raw_element(dataset, tag)
        pattern = _PATTERNS[keyword]
        if element is None or not isinstance(element.value, bytes):
            raise Malformed
        if pattern is None:
            value = _short(element.value, little=element.is_little_endian)
        else:
            value = _text(element.value, pattern)
        if value:
            yield keyword, value


def _short(content: bytes, *, little: bool) -> str:
    if len(content) not in {0, 2}:
        raise Malformed
    return str(int.from_bytes(content, "little" if little else "big")) if content else ""


def _text(content: bytes, pattern: re.Pattern[bytes]) -> str:
    stripped = content.strip(b" \0")
    if stripped and not pattern.fullmatch(stripped):
        raise Malformed
    return stripped.decode("ascii")


def risks_of(header: Technical, *, overlay: bool, regions: bool) -> tuple[str, ...]:
    """Name the signs that pixels may hold text.

    `overlay` says that an overlay plane is present, `regions` that ultrasound regions are.
    """
    found = [code for code, is_risk in _RISKS.items() if is_risk(header)]
    if overlay:
        found.append("overlay")
    if header.get("Modality") in {"US", "IVUS"} and not regions:
        found.append("ultrasound-without-regions")
    return tuple(found)


_RISKS: Mapping[str, Callable[[Technical], bool]] = MappingProxyType(
    {
        "burned-in-declared": lambda header: header.get("BurnedInAnnotation", "NO") != "NO",
        "secondary-capture": lambda header: (header.get("SOPClassUID", "") + ".").startswith(
            _SECONDARY_CAPTURE + "."
        ),
        "secondary-image": lambda header: "SECONDARY" in header.get("ImageType", "").split("\\"),
    }
)


def pseudonym(patient: str, *, key: bytes) -> Pseudonym:
    """Return the name under which a patient appears in a manifest."""
    named = _keyed(patient.encode(), key=key, purpose=b"consilium/patient-pseudonym/1")
    return named.hex()[:32]


def keyed_name(content: bytes, *, key: bytes, purpose: Literal["file", "instance"]) -> str:
    """Return the name of a file's digest, or of a UID, under a key of its own for each purpose."""
    return _keyed(content, key=key, purpose=f"consilium/{purpose}-name/1".encode()).hex()[:32]


def part_of(patient: str, *, key: bytes, validation_fraction: float) -> Part:
    """Return a patient's part: validation when the keyed hash is below a fraction of 2^64."""
    keyed = _keyed(patient.encode(), key=key, purpose=b"consilium/patient-part/1")
    drawn = int.from_bytes(keyed[:8], "big")
    return "validation" if drawn < validation_fraction * 2.0**64 else "train"


def _keyed(content: bytes, *, key: bytes, purpose: bytes) -> bytes:
    """Use a key of its own for each purpose, so that one output says nothing about another."""
    return hmac.digest(_derived(key, purpose), content, "sha256")


@lru_cache(maxsize=16)
def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")
