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
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias, cast

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from schemas.manifest import Part, Pseudonym

__all__ = [
    "ALLOWED",
    "OVERLAY_TAGS",
    "Malformed",
    "Technical",
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
_DECIMAL = rb"[+-]?(?:\d{1,12}(?:\.\d{0,14})?|\.\d{1,14})(?:[eE][+-]?\d)?"
_UID = rb"[0-9.]{1,64}"

ALLOWED: Mapping[str, bytes | None] = MappingProxyType(
    {
        "ImageType": _CODES,
        "SOPClassUID": _UID,
        "Modality": _CODES,
        "SamplesPerPixel": None,
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

_PATTERNS = {
    keyword: None if form is None else re.compile(form) for keyword, form in ALLOWED.items()
}
_TAGS = {keyword: tag_for_keyword(keyword) for keyword in ALLOWED}

OVERLAY_TAGS = tuple(
    (group << 16) | element for group in range(0x6000, 0x6020, 2) for element in (0x0010, 0x3000)
)
"""Overlay Rows and Overlay Data of the sixteen planes (PS3.3 section C.9.2)."""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage, and the root of its multi-frame kinds (PS3.4 section B.5)."""


def raw_element(dataset: Dataset, tag: int) -> RawDataElement | None:
    """Return an element as its bytes, before anything decodes them; None for a sequence."""
    element = cast("object", dataset.get_item(tag))
    return element if isinstance(element, RawDataElement) else None


def technical(dataset: Dataset) -> Technical:
    """Return the allowed attributes that are present and not empty.

    Raises:
        Malformed: one of them has another form.
    """
    return MappingProxyType(dict(_present(dataset)))


def _present(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for keyword, tag in _TAGS.items():
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


def risks_of(header: Technical, *, overlay: bool) -> tuple[str, ...]:
    """Name the signs that pixels may hold text; `overlay` says that an overlay plane is present."""
    return tuple(code for code, is_risk in _RISKS.items() if is_risk(header, overlay))


_RISKS: Mapping[str, Callable[[Technical, bool], bool]] = MappingProxyType(
    {
        "burned-in-declared": lambda header, _: header.get("BurnedInAnnotation", "NO") != "NO",
        "secondary-capture": lambda header, _: (header.get("SOPClassUID", "") + ".").startswith(
            _SECONDARY_CAPTURE + "."
        ),
        "secondary-image": lambda header, _: "SECONDARY" in header.get("ImageType", "").split("\\"),
        "overlay": lambda _, overlay: overlay,
    }
)


def pseudonym(patient: str, *, key: bytes) -> Pseudonym:
    """Return the name under which a patient appears in a manifest."""
    return _keyed(patient, key=key, purpose=b"consilium/patient-pseudonym/1").hex()[:32]


def part_of(patient: str, *, key: bytes, validation_fraction: float) -> Part:
    """Return a patient's part: validation when the keyed hash is below a fraction of 2^64."""
    drawn = int.from_bytes(_keyed(patient, key=key, purpose=b"consilium/patient-part/1")[:8], "big")
    return "validation" if drawn < validation_fraction * 2.0**64 else "train"


def _keyed(patient: str, *, key: bytes, purpose: bytes) -> bytes:
    """Use a key of its own for each purpose, so that one output says nothing about another."""
    derived = hmac.digest(key, purpose, "sha256")
    return hmac.digest(derived, patient.encode(), "sha256")
