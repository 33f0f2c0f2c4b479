"""A header against the contract, before a pixel is decoded.

* Checks run in a fixed order; the first that fails gives the code.
* The pixels that a header announces are bounded here, so that nobody asks for the memory of a bomb.
* Signs of burned-in text do not refuse: they are returned, and a person looks at the pixels.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from hospital_node.cohort.deidentification import (
    OVERLAY_TAGS,
    REGION_TAG,
    Technical,
    raw_element,
    risks_of,
)
from hospital_node.cohort.reasons import Unfit
from schemas.contract import DataContract
from schemas.errors import InputRefused
from schemas.image_rules import ImageRules, Range, SingleFrame

__all__ = ["MAX_PIXELS", "judged", "refuse_unknown_attributes"]

MAX_PIXELS = 2**26
"""Of a file, over all frames."""


def refuse_unknown_attributes(contract: DataContract) -> None:
    """Refuse a contract that names an attribute which does not exist: it could not be looked for.

    Raises:
        InputRefused: as it says.
    """
    rules = contract.image
    named = (*rules.required_attributes, *rules.forbidden_attributes)
    unknown = [one for one in named if tag_for_keyword(one) is None]
    if unknown:
        message = (
            f"contract refused: {', '.join(unknown)} in required_attributes or "
            "forbidden_attributes, only keywords of PS3.6 are allowed"
        )
        raise InputRefused(message, next_step="mend the keyword with the study lead")


def judged(dataset: Dataset, header: Technical, contract: DataContract) -> tuple[str, ...]:
    """Compare a header with the contract; return the signs of burned-in text."""
    for code, is_unfit in _CHECKS.items():
        if is_unfit(header, contract.image):
            raise Unfit(code)
    if any(not _is_filled(dataset, keyword) for keyword in contract.image.required_attributes):
        raise Unfit("attribute-missing")
    if any(_is_filled(dataset, keyword) for keyword in contract.image.forbidden_attributes):
        raise Unfit("attribute-forbidden")
    overlay, regions = any(tag in dataset for tag in OVERLAY_TAGS), REGION_TAG in dataset
    return risks_of(header, overlay=overlay, regions=regions)


def _is_filled(dataset: Dataset, keyword: str) -> bool:
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return False
    element = raw_element(dataset, tag)
    if element is None:
        return True  # a sequence
    return isinstance(element.value, bytes) and element.value.strip(b" \0") != b""


def _within(header: Technical, keyword: str, allowed: Range) -> bool:
    return allowed.least <= int(header.get(keyword, "0")) <= allowed.most


def _is_other(header: Technical, allowed: tuple[str, ...], *keywords: str) -> bool:
    """Say whether the first of these attributes that is there has a value that is not allowed."""
    found = next((header[one] for one in keywords if one in header), "")
    return bool(allowed) and found not in allowed


def _frames(header: Technical) -> int:
    return int(header.get("NumberOfFrames", "1"))


def _is_colour(header: Technical) -> bool:
    return not header.get("PhotometricInterpretation", "MONOCHROME").startswith("MONOCHROME")


def _is_laid_out(header: Technical) -> bool:
    """Say whether the bits of a pixel lie as the standard says (PS3.5 section 8.1.1)."""
    stored, allocated = int(header["BitsStored"]), header.get("BitsAllocated", "")
    has_three = header["PhotometricInterpretation"].startswith(("RGB", "YBR"))
    return (
        allocated in {"8", "16", "32"}
        and stored <= int(allocated)
        and int(header.get("HighBit", stored - 1)) == stored - 1
        and header.get("PixelRepresentation", "0") in {"0", "1"}
        and header.get("SamplesPerPixel", "1") == ("3" if has_three else "1")
    )


_CHECKS: Mapping[str, Callable[[Technical, ImageRules], bool]] = MappingProxyType(
    {
        "no-sop-class": lambda header, _: "SOPClassUID" not in header,
        "sop-class": lambda header, rules: header["SOPClassUID"] not in rules.sop_classes,
        "modality": lambda header, rules: header.get("Modality") not in rules.modalities,
        "view": lambda header, rules: _is_other(header, rules.views, "ViewPosition"),
        "laterality": lambda header, rules: _is_other(
            header, rules.lateralities, "ImageLaterality", "Laterality"
        ),
        "body-part": lambda header, rules: _is_other(header, rules.body_parts, "BodyPartExamined"),
        "no-pixels": lambda header, _: header.keys().isdisjoint(
            {"Rows", "PhotometricInterpretation"}
        ),
        "multi-frame": lambda header, rules: (
            _frames(header) != 1 and isinstance(rules.frames, SingleFrame)
        ),
        "colour": lambda header, rules: (
            _is_colour(header) and header["PhotometricInterpretation"] not in rules.photometric
        ),
        "photometric": lambda header, rules: (
            header.get("PhotometricInterpretation") not in rules.photometric
        ),
        "rows": lambda header, rules: not _within(header, "Rows", rules.rows),
        "columns": lambda header, rules: not _within(header, "Columns", rules.columns),
        "too-many-pixels": lambda header, _: (
            not 1 <= _frames(header) <= MAX_PIXELS
            or int(header["Rows"]) * int(header["Columns"]) * _frames(header) > MAX_PIXELS
        ),
        "bits-stored": lambda header, rules: not _within(header, "BitsStored", rules.bits_stored),
        "bit-layout": lambda header, _: not _is_laid_out(header),
    }
)
"""In this order; each may rely on those before it."""
